"""Gaussian error linear unit, exact: x times the normal distribution function of x.

Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415, eq. 1.
"""

import math
from typing import Any

import numpy as np
from scipy.special import erf

from cvcourse.classic.shapes import check_gradient, floating


def gelu_forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute x P(X <= x) of a standard normal X, the Gaussian error linear unit.

    Args:
        x: Inputs of any shape.

    Returns:
        The outputs, and a cache.

    >>> gelu_forward(np.array([-1.0, 0.0, 1.0]))[0].round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    x = floating(x)
    probability = (1 + erf(x / math.sqrt(2))) / 2
    return x * probability, (x, probability)


def gelu_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `gelu_forward`.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> gelu_backward(np.ones(1), gelu_forward(np.zeros(1))[1])
    array([0.5])
    """
    x, probability = cache
    check_gradient(dout, x.shape)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return dout * (probability + x * density)
