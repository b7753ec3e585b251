"""Forward and backward passes of a step of a recurrent network: vanilla RNN and LSTM.

Names and arguments are those of CS231n's assignment on image captioning. RNN: Elman 1990; LSTM:
Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, with the forget gate of
Gers et al. 2000. `recurrent.py` applies the steps to sequences.
"""

from typing import Any

import numpy as np

from cvcourse.classic.layers import sigmoid_backward, sigmoid_forward, tanh_backward, tanh_forward
from cvcourse.classic.shapes import sizes

Gradients = tuple[np.ndarray, ...]


def rnn_step_forward(
    x: np.ndarray, prev_h: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Compute a step of a vanilla RNN: tanh(x Wx + prev_h Wh + b).

    Args:
        x: Inputs of the step, (N, D).
        prev_h: Hidden states before it, (N, H).
        Wx: Weights of the inputs, (D, H).
        Wh: Weights of the hidden states, (H, H).
        b: Biases, (H,).

    Returns:
        The next hidden states, (N, H), and a cache.

    >>> one = np.ones((1, 1))
    >>> rnn_step_forward(one, 0 * one, one, one, np.zeros(1))[0].round(4)
    array([[0.7616]])
    """
    sizes("x N D, prev_h N H, Wx D H, Wh H H, b H", x, prev_h, Wx, Wh, b)
    next_h, cache = tanh_forward(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, cache)


def rnn_step_backward(dnext_h: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `rnn_step_forward`.

    Args:
        dnext_h: Gradient of the next hidden states, (N, H).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, prev_h, Wx, Wh and b.

    >>> one = np.ones((1, 1))
    >>> next_h, cache = rnn_step_forward(0 * one, 0 * one, one, one, np.zeros(1))
    >>> rnn_step_backward(one, cache)[1]
    array([[1.]])
    """
    *operands, tanh_cache = cache
    return _sum_backward(tanh_backward(dnext_h, tanh_cache), *operands)


def lstm_step_forward(
    x: np.ndarray,
    prev_h: np.ndarray,
    prev_c: np.ndarray,
    Wx: np.ndarray,
    Wh: np.ndarray,
    b: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Compute a step of an LSTM: c = f prev_c + i g, h = o tanh(c).

    Args:
        x: Inputs of the step, (N, D).
        prev_h: Hidden states before it, (N, H).
        prev_c: Cell states before it, (N, H).
        Wx: Weights of the inputs, (D, 4H), for the input gate i, forget gate f, output gate o and
            candidate g in this order.
        Wh: Weights of the hidden states, (H, 4H).
        b: Biases, (4H,).

    Returns:
        The next hidden states, the next cell states, both (N, H), and a cache.

    Raises:
        ValueError: If the shapes do not fit.

    >>> zero, weights = np.zeros((1, 1)), np.zeros((1, 4))
    >>> lstm_step_forward(zero, zero, np.ones((1, 1)), weights, weights, weights[0])[1]
    array([[0.5]])
    """
    sizes("x N D, prev_h N H, prev_c N H, Wx D G, Wh H G, b G", x, prev_h, prev_c, Wx, Wh, b)
    if len(b) != 4 * len(Wh):
        raise ValueError(
            f"shapes do not fit: Wh {Wh.shape}, b {b.shape}; expected Wh (H, 4H), b (4H)"
        )
    gates, candidate = np.split(x @ Wx + prev_h @ Wh + b, [3 * prev_h.shape[1]], axis=1)
    gates, sigmoid_cache = sigmoid_forward(gates)
    g, g_cache = tanh_forward(candidate)
    i, f, o = np.split(gates, 3, axis=1)
    next_c = f * prev_c + i * g
    squashed, c_cache = tanh_forward(next_c)
    caches = (sigmoid_cache, g_cache, c_cache)
    return o * squashed, next_c, (x, prev_h, Wx, Wh, prev_c, i, f, o, g, squashed, caches)


def lstm_step_backward(dnext_h: np.ndarray, dnext_c: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `lstm_step_forward`.

    Args:
        dnext_h: Gradient of the next hidden states, (N, H).
        dnext_c: Gradient of the next cell states by later steps, (N, H).
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, prev_h, prev_c, Wx, Wh and b.

    >>> zero, weights = np.zeros((1, 1)), np.zeros((1, 4))
    >>> cache = lstm_step_forward(zero, zero, np.ones((1, 1)), weights, weights, weights[0])[2]
    >>> lstm_step_backward(zero, np.ones((1, 1)), cache)[2]  # the forget gate is half open
    array([[0.5]])
    """
    *operands, prev_c, i, f, o, g, squashed, (sigmoid_cache, g_cache, c_cache) = cache
    dc = dnext_c + tanh_backward(dnext_h * o, c_cache)
    dgates = np.concatenate([dc * g, dc * prev_c, dnext_h * squashed], axis=1)
    da = [sigmoid_backward(dgates, sigmoid_cache), tanh_backward(dc * i, g_cache)]
    dx, dprev_h, *dweights = _sum_backward(np.concatenate(da, axis=1), *operands)
    return (dx, dprev_h, dc * f, *dweights)


def _sum_backward(da, x, prev_h, Wx, Wh):
    """Compute the gradients of a = x Wx + prev_h Wh + b."""
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)
