"""Batch, group, instance and layer normalization of images, forward and backward.

Batch normalization takes a mean for each channel, over examples and positions; the others take it
for each example. Instance normalization: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022;
group: Wu & He 2018, https://arxiv.org/abs/1803.08494, eq. 1 to 7. Names and parameters are those of
the assignments.
"""

from typing import Any

import numpy as np

from cvcourse.classic.normalization import (
    EPSILON,
    Gradients,
    batchnorm_backward,
    batchnorm_forward,
    gradients,
    normalize,
)
from cvcourse.classic.shapes import check_gradient, sizes


def spatial_batchnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalize each channel over the batch and all positions.

    Args:
        x: Inputs, (N, C, H, W).
        gamma: Scale, (C,).
        beta: Shift, (C,).
        bn_param: Parameters of `batchnorm_forward`.

    Returns:
        The outputs, and a cache.

    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> out, _ = spatial_batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})
    >>> float(out.mean())
    0.0
    """
    sizes("x N C H W, gamma C, beta C", x, gamma, beta)
    n, c, h, w = x.shape
    out, cache = batchnorm_forward(x.transpose(0, 2, 3, 1).reshape(-1, c), gamma, beta, bn_param)
    return out.reshape(n, h, w, c).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `spatial_batchnorm_forward`.

    Args:
        dout: Gradient of the outputs, (N, C, H, W).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, gamma and beta.

    >>> x, one = np.arange(4.0).reshape(1, 1, 2, 2), np.ones(1)
    >>> out, cache = spatial_batchnorm_forward(x, one, 0 * one, {"mode": "train"})
    >>> spatial_batchnorm_backward(np.ones((1, 1, 2, 2)), cache)[2]
    array([4.])
    """
    n, c, h, w = dout.shape
    dx, dgamma, dbeta = batchnorm_backward(dout.transpose(0, 2, 3, 1).reshape(-1, c), cache)
    return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2), dgamma, dbeta


def spatial_groupnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, G: int, gn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalize each example over groups of channels and all positions.

    With a group for each channel (G = C) it is instance normalization, with one group (G = 1) layer
    normalization.

    Args:
        x: Inputs, (N, C, H, W).
        gamma: Scale, (1, C, 1, 1).
        beta: Shift, (1, C, 1, 1).
        G: Number of groups; it divides C.
        gn_param: {"eps": default 1e-5}.

    Returns:
        The outputs, and a cache.

    Raises:
        ValueError: If shapes do not fit, or G does not divide C.

    >>> x, one = np.arange(8.0).reshape(1, 2, 2, 2), np.ones((1, 2, 1, 1))
    >>> spatial_groupnorm_forward(x, one, 0 * one, 2, {})[0].mean(axis=(2, 3))
    array([[0., 0.]])
    """
    sizes("x N C H W, gamma 1 C 1 1, beta 1 C 1 1", x, gamma, beta)
    n, c, h, w = x.shape
    if not 0 < G <= c or c % G:
        raise ValueError(f"{G} groups do not divide the {c} channels of x {x.shape}")
    grouped = (n, G, c // G, h, w)
    affine = (1, G, c // G, 1, 1)
    out, cache = normalize(
        x.reshape(grouped),
        gamma.reshape(affine),
        beta.reshape(affine),
        (2, 3, 4),
        gn_param.get("eps", EPSILON),
    )
    return out.reshape(x.shape), cache


def spatial_groupnorm_backward(dout: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `spatial_groupnorm_forward`.

    Args:
        dout: Gradient of the outputs, (N, C, H, W).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, gamma and beta.

    >>> x, one = np.arange(8.0).reshape(1, 2, 2, 2), np.ones((1, 2, 1, 1))
    >>> out, cache = spatial_groupnorm_forward(x, one, 0 * one, 2, {})
    >>> spatial_groupnorm_backward(np.ones((1, 2, 2, 2)), cache)[2].ravel()
    array([4., 4.])
    """
    n, groups, channels, h, w = cache[0].shape
    check_gradient(dout, (n, groups * channels, h, w))
    dx, dgamma, dbeta = gradients(dout.reshape(cache[0].shape), cache, (0, 3, 4))
    parameters = (1, dout.shape[1], 1, 1)
    return dx.reshape(dout.shape), dgamma.reshape(parameters), dbeta.reshape(parameters)
