"""Layers and loss of sequences: word embedding, and affine layer and softmax loss of each step.

Names and arguments are those of CS231n's assignment on image captioning.
"""

from typing import Any

import numpy as np

from cvcourse.classic.layers import affine_backward, affine_forward
from cvcourse.classic.losses import softmax_loss
from cvcourse.classic.shapes import floating, sizes


def word_embedding_forward(x: np.ndarray, W: np.ndarray) -> tuple[np.ndarray, Any]:
    """Look up the vector of each word.

    Args:
        x: Word numbers, (N, T).
        W: Vectors of the V words, (V, D).

    Returns:
        The vectors, (N, T, D), and a cache.

    Raises:
        ValueError: If a value of x is not a word number.

    >>> word_embedding_forward(np.array([[1, 0]]), np.array([[0.0, 0.5], [1.0, 1.5]]))[0]
    array([[[1. , 1.5],
            [0. , 0.5]]])
    """
    sizes("x N T, W V D", x, W)
    if not np.issubdtype(x.dtype, np.integer) or (x.size and (x.min() < 0 or x.max() >= len(W))):
        values = f" from {x.min()} to {x.max()}" if x.size else ""
        raise ValueError(
            f"x has {x.dtype} values{values}; it has word numbers from 0 to {len(W) - 1}, the rows "
            f"of W {W.shape}"
        )
    return W[x], (x, len(W))


def word_embedding_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `word_embedding_forward`: of a word, the sum over its occurrences.

    Args:
        dout: Gradient of the vectors, (N, T, D).
        cache: Cache of the forward pass.

    Returns:
        Gradient of W.

    >>> cache = word_embedding_forward(np.array([[1, 1]]), np.zeros((2, 1)))[1]
    >>> word_embedding_backward(np.ones((1, 2, 1)), cache)
    array([[0.],
           [2.]])
    """
    x, words = cache
    dW = np.zeros((words, dout.shape[-1]), dout.dtype)
    np.add.at(dW, x, dout)  # dW[x] += dout would add a word that occurs twice only once
    return dW


def temporal_affine_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute x w + b at each step.

    Args:
        x: Inputs, (N, T, D).
        w: Weights, (D, M).
        b: Biases, (M,).

    Returns:
        The outputs, (N, T, M), and a cache.

    >>> temporal_affine_forward(np.ones((1, 2, 3)), np.ones((3, 1)), np.zeros(1))[0]
    array([[[3.],
            [3.]]])
    """
    sizes("x N T D, w D M, b M", x, w, b)
    out, cache = affine_forward(x.reshape(-1, x.shape[-1]), w, b)
    return out.reshape(*x.shape[:2], -1), (x.shape, cache)


def temporal_affine_backward(
    dout: np.ndarray, cache: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `temporal_affine_forward`.

    Args:
        dout: Gradient of the outputs, (N, T, M).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, w and b.

    >>> out, cache = temporal_affine_forward(np.ones((1, 2, 3)), np.ones((3, 1)), np.zeros(1))
    >>> temporal_affine_backward(np.ones((1, 2, 1)), cache)[2]
    array([2.])
    """
    shape, affine_cache = cache
    dx, dw, db = affine_backward(dout.reshape(-1, dout.shape[-1]), affine_cache)
    return dx.reshape(shape), dw, db


def temporal_softmax_loss(
    x: np.ndarray, y: np.ndarray, mask: np.ndarray
) -> tuple[float, np.ndarray]:
    """Compute the softmax loss of each kept step: the sum over steps, the mean over examples.

    Args:
        x: Scores, (N, T, V).
        y: Word numbers, (N, T); at a masked step any number.
        mask: True (or 1) for steps that are kept, (N, T).

    Returns:
        The loss, and its gradient with respect to the scores, 0 at masked steps.

    >>> mask = np.array([[True, True, False]])
    >>> round(temporal_softmax_loss(np.zeros((1, 3, 2)), np.array([[0, 1, 0]]), mask)[0], 4)
    1.3863
    """
    sizes("x N T V, y N T, mask N T", x, y, mask)
    x, kept = floating(x), np.asarray(mask, bool)
    dx = np.zeros_like(x)
    if not kept.any():
        return 0.0, dx
    loss, gradient = softmax_loss(x[kept], y[kept])  # their mean is over kept steps
    steps = kept.sum() / len(x)
    dx[kept] = gradient * steps
    return float(loss * steps), dx
