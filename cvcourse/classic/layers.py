"""Forward and backward passes of fully connected layers and activation functions.

A forward pass returns its output and a cache; the backward pass takes the gradient of the loss with
respect to that output, and the cache, and returns the gradients of the inputs in their order. Names
and arguments are those of CS231n's assignments; see the notes, "Backpropagation, intuitions",
https://cs231n.github.io/optimization-2, and "Commonly used activation functions",
https://cs231n.github.io/neural-networks-1.
"""

import math
from typing import Any

import numpy as np

from cvcourse.classic.shapes import check_gradient, floating, sizes


def affine_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute x w + b, a fully connected layer.

    Args:
        x: Inputs, (N, d1, ..., dk); an example is flattened to D = d1 ... dk values.
        w: Weights, (D, M).
        b: Biases, (M,).

    Returns:
        The outputs, (N, M), and a cache.

    >>> affine_forward(np.ones((1, 2)), np.ones((2, 1)), np.zeros(1))[0]
    array([[2.]])
    """
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    sizes("x N D, w D M, b M", flat, w, b)
    return flat @ w + b, (x, w)


def affine_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `affine_forward`.

    Args:
        dout: Gradient of the outputs, (N, M).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, w and b.

    >>> out, cache = affine_forward(np.ones((1, 2)), np.ones((2, 1)), np.zeros(1))
    >>> affine_backward(out, cache)[2]
    array([2.])
    """
    x, w = cache
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    sizes("x N D, w D M, dout N M", flat, w, dout)
    return (dout @ w.T).reshape(x.shape), flat.T @ dout, dout.sum(axis=0)


def relu_forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute max(0, x), the rectified linear unit.

    Args:
        x: Inputs of any shape.

    Returns:
        The outputs, and a cache.

    >>> relu_forward(np.array([-1.0, 2.0]))[0]
    array([0., 2.])
    """
    return np.maximum(x, 0), x > 0


def relu_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `relu_forward`; at 0 it is 0.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> relu_backward(np.ones(2), relu_forward(np.array([-1.0, 2.0]))[1])
    array([0., 1.])
    """
    check_gradient(dout, cache.shape)
    return np.where(cache, dout, 0)


def leaky_relu_forward(x: np.ndarray, slope: float = 0.01) -> tuple[np.ndarray, Any]:
    """Compute x where it is positive, and slope * x elsewhere.

    Args:
        x: Inputs of any shape.
        slope: Slope for negative inputs.

    Returns:
        The outputs, and a cache.

    >>> leaky_relu_forward(np.array([-1.0, 2.0]))[0]
    array([-0.01,  2.  ])
    """
    return np.where(x > 0, x, slope * x), (x > 0, slope)


def leaky_relu_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `leaky_relu_forward`; at 0 it is the slope.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> leaky_relu_backward(np.ones(2), leaky_relu_forward(np.array([-1.0, 2.0]))[1])
    array([0.01, 1.  ])
    """
    positive, slope = cache
    check_gradient(dout, positive.shape)
    return np.where(positive, dout, slope * dout)


def sigmoid_forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute 1 / (1 + exp(-x)), without overflow.

    Args:
        x: Inputs of any shape.

    Returns:
        The outputs, and a cache.

    >>> sigmoid_forward(np.array([0.0, -1000.0]))[0]
    array([0.5, 0. ])
    """
    x = floating(x)
    small = np.exp(-np.abs(x))  # at most 1
    out = np.where(x >= 0, 1, small) / (1 + small)
    return out, out


def sigmoid_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `sigmoid_forward`.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> sigmoid_backward(np.ones(1), sigmoid_forward(np.zeros(1))[1])
    array([0.25])
    """
    check_gradient(dout, cache.shape)
    return dout * cache * (1 - cache)


def tanh_forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute the hyperbolic tangent.

    Args:
        x: Inputs of any shape.

    Returns:
        The outputs, and a cache.

    >>> tanh_forward(np.zeros(1))[0]
    array([0.])
    """
    out = np.tanh(floating(x))
    return out, out


def tanh_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `tanh_forward`.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> tanh_backward(np.ones(1), tanh_forward(np.zeros(1))[1])
    array([1.])
    """
    check_gradient(dout, cache.shape)
    return dout * (1 - cache**2)
