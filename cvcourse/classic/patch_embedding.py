"""Patch embedding: an image as a sequence of affine functions of its patches.

Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, eq. 1, without class token and positions.
"""

from typing import Any

import numpy as np

from cvcourse.classic.shapes import sizes
from cvcourse.classic.temporal import temporal_affine_backward, temporal_affine_forward


def patch_embedding_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, patch: int
) -> tuple[np.ndarray, Any]:
    """Compute p w + b for each square patch p of the images, row by row.

    Args:
        x: Images, (N, C, H, W).
        w: Weights, (C * patch * patch, D); a patch is flattened as (C, height, width).
        b: Biases, (D,).
        patch: Height and width of a patch.

    Returns:
        The vectors, (N, H / patch * W / patch, D), and a cache.

    Raises:
        ValueError: If shapes do not fit, or patches do not tile the images.

    >>> x = np.arange(8.0).reshape(1, 1, 2, 4)
    >>> patch_embedding_forward(x, np.ones((4, 1)), np.zeros(1), patch=2)[0]
    array([[[10.],
            [18.]]])
    """
    n, c, h, w_pixels = sizes("x N C H W", x).values()
    if patch < 1 or h % patch or w_pixels % patch:
        raise ValueError(f"patches of {patch} x {patch} do not tile the images of x {x.shape}")
    grid = (n, c, h // patch, patch, w_pixels // patch, patch)
    patches = x.reshape(grid).transpose(0, 2, 4, 1, 3, 5)
    out, cache = temporal_affine_forward(patches.reshape(n, -1, c * patch * patch), w, b)
    return out, (x.shape, patches.shape, cache)


def patch_embedding_backward(
    dout: np.ndarray, cache: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `patch_embedding_forward`.

    Args:
        dout: Gradient of the vectors, (N, T, D).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, w and b.

    >>> x = np.arange(8.0).reshape(1, 1, 2, 4)
    >>> out, cache = patch_embedding_forward(x, np.ones((4, 1)), np.zeros(1), patch=2)
    >>> patch_embedding_backward(out, cache)[0]
    array([[[[10., 10., 18., 18.],
             [10., 10., 18., 18.]]]])
    """
    image, grid, affine_cache = cache
    dpatches, dw, db = temporal_affine_backward(dout, affine_cache)
    return dpatches.reshape(grid).transpose(0, 3, 1, 4, 2, 5).reshape(image), dw, db
