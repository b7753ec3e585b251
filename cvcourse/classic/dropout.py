"""Dropout: random units are 0 in training, the others are scaled up.

Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html; inverted dropout: CS231n
notes, https://cs231n.github.io/neural-networks-2. `p` is the probability of keeping a unit, as in
the notes and in the assignments since 2018; Keras' `rate` is 1 - p.
"""

from typing import Any

import numpy as np

from cvcourse.classic.shapes import check_gradient, floating


def dropout_forward(x: np.ndarray, dropout_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """Set random inputs to 0 and divide the others by p (in training), or return the inputs.

    Args:
        x: Inputs of any shape.
        dropout_param: {"mode": "train" or "test", "p": probability of keeping a unit, and
            optionally "seed" for the same units each time, or "rng", a numpy Generator}.

    Returns:
        The outputs, and a cache.

    Raises:
        ValueError: If p is not above 0 and at most 1, or the mode is another one.

    >>> dropout_forward(np.ones(4), {"mode": "train", "p": 0.5, "seed": 0})[0]
    array([0., 2., 2., 2.])
    """
    p, mode = dropout_param["p"], dropout_param["mode"]
    if not 0 < p <= 1:
        raise ValueError(f"p is {p}; it is the probability of keeping a unit, above 0, at most 1")
    if mode not in ("train", "test"):
        raise ValueError(f"mode is {mode!r}; it is 'train' or 'test'")
    x = floating(x)
    if mode == "test":
        return x, None
    rng = dropout_param.get("rng") or np.random.default_rng(dropout_param.get("seed"))
    mask = ((rng.random(x.shape) < p) / p).astype(x.dtype)
    return x * mask, mask


def dropout_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `dropout_forward`.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> cache = dropout_forward(np.ones(4), {"mode": "train", "p": 0.5, "seed": 0})[1]
    >>> dropout_backward(np.ones(4), cache)
    array([0., 2., 2., 2.])
    """
    if cache is None:
        return dout
    check_gradient(dout, cache.shape)
    return dout * cache
