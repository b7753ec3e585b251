"""Batch and layer normalization, forward and backward.

Each subtracts a mean, divides by a standard deviation, scales by gamma and shifts by beta; they
differ in the axes over which mean and variance are taken. Batch: Ioffe & Szegedy 2015,
https://arxiv.org/abs/1502.03167, algorithm 1; layer: Ba et al. 2016, https://arxiv.org/abs/1607.06450.
Names and parameters are those of the assignments. `spatial_normalization.py` has those of images.
"""

from typing import Any

import numpy as np

from cvcourse.classic.shapes import check_gradient, floating, sizes

EPSILON = 1e-5  # the assignments'
Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


def batchnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalize each feature over the batch, in "test" mode by running statistics.

    Args:
        x: Inputs, (N, D).
        gamma: Scale, (D,).
        beta: Shift, (D,).
        bn_param: {"mode": "train" or "test", "eps": default 1e-5, "momentum": 0.9,
            "running_mean": zeros, "running_var": zeros}. In "train" mode the running statistics in
            it are changed: r <- momentum * r + (1 - momentum) * statistic of the batch.

    Returns:
        The outputs, and a cache.

    Raises:
        ValueError: If shapes do not fit, the mode is another one, or there are no examples.

    >>> batchnorm_forward(np.array([[0.0], [2.0]]), np.ones(1), np.zeros(1), {"mode": "train"})[0]
    array([[-0.999995],
           [ 0.999995]])
    """
    x = floating(x)
    size = sizes("x N D, gamma D, beta D", x, gamma, beta)["D"]
    mode, epsilon = bn_param["mode"], bn_param.get("eps", EPSILON)
    if mode not in ("train", "test"):
        raise ValueError(f"mode is {mode!r}; it is 'train' or 'test'")
    running = {
        key: np.asarray(bn_param.get(key, np.zeros(size)), x.dtype)
        for key in ("running_mean", "running_var")
    }
    means, variances = running["running_mean"], running["running_var"]
    sizes("x N D, running_mean D, running_var D", x, means, variances)
    if mode == "test":
        inverse = 1 / np.sqrt(variances + epsilon)
        normal = (x - means) * inverse
        return gamma * normal + beta, (normal, inverse, gamma, ())
    if not len(x):
        raise ValueError(f"x {x.shape} has no examples, whose mean is subtracted in train mode")
    momentum = bn_param.get("momentum", 0.9)
    statistics = {"running_mean": x.mean(axis=0), "running_var": x.var(axis=0)}
    for key, batch in statistics.items():
        bn_param[key] = momentum * running[key] + (1 - momentum) * batch
    return normalize(x, gamma, beta, (0,), epsilon)


def batchnorm_backward(dout: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `batchnorm_forward`, of either mode.

    Args:
        dout: Gradient of the outputs, (N, D).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, gamma and beta.

    >>> x, one = np.array([[0.0], [2.0]]), np.ones(1)
    >>> out, cache = batchnorm_forward(x, one, 0 * one, {"mode": "train"})
    >>> batchnorm_backward(np.ones((2, 1)), cache)[2]
    array([2.])
    """
    return gradients(dout, cache, (0,))


def layernorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, ln_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalize each example over its features.

    Args:
        x: Inputs, (N, D), or (N, T, D) with a mean for each step.
        gamma: Scale, (D,).
        beta: Shift, (D,).
        ln_param: {"eps": default 1e-5}.

    Returns:
        The outputs, and a cache.

    >>> layernorm_forward(np.array([[0.0, 2.0]]), np.ones(2), np.zeros(2), {})[0]
    array([[-0.999995,  0.999995]])
    """
    sizes("x N D, gamma D, beta D", x.reshape(-1, x.shape[-1]), gamma, beta)
    return normalize(x, gamma, beta, (-1,), ln_param.get("eps", EPSILON))


def layernorm_backward(dout: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `layernorm_forward`.

    Args:
        dout: Gradient of the outputs, of the shape of x.
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, gamma and beta.

    >>> out, cache = layernorm_forward(np.array([[0.0, 2.0]]), np.ones(2), np.zeros(2), {})
    >>> layernorm_backward(np.ones((1, 2)), cache)[2]
    array([1., 1.])
    """
    return gradients(dout, cache, tuple(range(dout.ndim - 1)))


def normalize(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, axes: tuple[int, ...], epsilon: float
) -> tuple[np.ndarray, Any]:
    """Normalize over some axes.

    Args:
        x: Inputs of any shape.
        gamma: Scale; it broadcasts to x.
        beta: Shift; it broadcasts to x.
        axes: Axes over which mean and variance are taken.
        epsilon: Term added to the variance.

    Returns:
        The outputs, and a cache.

    >>> normalize(np.array([0.0, 2.0]), 1.0, 0.0, (0,), 0.0)[0]
    array([-1.,  1.])
    """
    x = floating(x)
    inverse = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    normal = (x - x.mean(axis=axes, keepdims=True)) * inverse
    return gamma * normal + beta, (normal, inverse, gamma, axes)


def gradients(dout: np.ndarray, cache: Any, examples: tuple[int, ...]) -> Gradients:
    """Compute the gradients of `normalize`.

    The gradient of x is that of the normalized inputs without its mean and without its part along
    them, since these two directions were removed, over the standard deviation.

    Args:
        dout: Gradient of the outputs, of the shape of x.
        cache: Cache of the forward pass. Without axes in it, mean and variance were constants.
        examples: Axes along which gamma and beta are constant.

    Returns:
        Gradients of x, gamma and beta.

    >>> out, cache = normalize(np.array([0.0, 2.0]), 1.0, 0.0, (0,), 0.0)
    >>> gradients(np.ones(2), cache, (0,))[0]  # a shift of x changes nothing
    array([0., 0.])
    """
    normal, inverse, gamma, axes = cache
    check_gradient(dout, normal.shape)
    dx = dnormal = dout * gamma
    if axes:
        along = (dnormal * normal).mean(axis=axes, keepdims=True)
        dx = dnormal - dnormal.mean(axis=axes, keepdims=True) - normal * along
    return inverse * dx, (dout * normal).sum(axis=examples), dout.sum(axis=examples)
