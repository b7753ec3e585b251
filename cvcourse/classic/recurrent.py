"""Forward and backward passes of recurrent networks over sequences: vanilla RNN and LSTM.

Names and arguments are those of CS231n's assignment on image captioning. The backward pass is
backpropagation through time (Werbos 1990, https://doi.org/10.1109/5.58337): a weight's gradient is
the sum over the steps, and a hidden state has gradients from the output of its step and from the
next step. The steps themselves are in `recurrent_cells.py`.
"""

from typing import Any

import numpy as np

from cvcourse.classic.recurrent_cells import (
    lstm_step_backward,
    lstm_step_forward,
    rnn_step_backward,
    rnn_step_forward,
)
from cvcourse.classic.shapes import floating, sizes

Gradients = tuple[np.ndarray, ...]


def rnn_forward(
    x: np.ndarray, h0: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Compute the hidden states of a vanilla RNN over sequences.

    Args:
        x: Inputs, (N, T, D).
        h0: Hidden states before the first step, (N, H).
        Wx: Weights of the inputs, (D, H).
        Wh: Weights of the hidden states, (H, H).
        b: Biases, (H,).

    Returns:
        The hidden states after each step, (N, T, H), and a cache.

    >>> one = np.ones((1, 1))
    >>> rnn_forward(np.ones((1, 2, 1)), 0 * one, one, one, np.zeros(1))[0].round(4)
    array([[[0.7616],
            [0.9427]]])
    """
    return _over_time(rnn_step_forward, x, [h0], [Wx, Wh, b])


def rnn_backward(dh: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `rnn_forward`.

    Args:
        dh: Gradient of the hidden states, (N, T, H), without that through later steps.
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, h0, Wx, Wh and b.

    >>> one = np.ones((1, 1))
    >>> h, cache = rnn_forward(np.zeros((1, 3, 1)), 0 * one, one, 0.5 * one, np.zeros(1))
    >>> rnn_backward(np.array([[[0.0], [0.0], [1.0]]]), cache)[1]  # 0.5 for each of three steps
    array([[0.125]])
    """
    return _through_time(rnn_step_backward, dh, cache)


def lstm_forward(
    x: np.ndarray, h0: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Compute the hidden states of an LSTM over sequences; the first cell states are 0.

    Args:
        x: Inputs, (N, T, D).
        h0: Hidden states before the first step, (N, H).
        Wx: Weights of the inputs, (D, 4H).
        Wh: Weights of the hidden states, (H, 4H).
        b: Biases, (4H,).

    Returns:
        The hidden states after each step, (N, T, H), and a cache.

    >>> zero, weights = np.zeros((1, 1)), np.zeros((1, 4))
    >>> lstm_forward(np.ones((1, 2, 1)), zero, weights, weights, weights[0])[0].shape
    (1, 2, 1)
    """
    return _over_time(lstm_step_forward, x, [h0, np.zeros_like(h0)], [Wx, Wh, b])


def lstm_backward(dh: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `lstm_forward`.

    Args:
        dh: Gradient of the hidden states, (N, T, H), without that through later steps.
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, h0, Wx, Wh and b.

    >>> zero, weights = np.zeros((1, 1)), np.zeros((1, 4))
    >>> h, cache = lstm_forward(np.ones((1, 2, 1)), zero, weights, weights, weights[0])
    >>> lstm_backward(np.ones((1, 2, 1)), cache)[2].shape
    (1, 4)
    """
    dx, dh0, _, *dweights = _through_time(lstm_step_backward, dh, cache)
    return (dx, dh0, *dweights)


def _over_time(step, x, states, weights):
    """Apply a step (x, *states, *weights) -> (*states, cache) to each step of the inputs."""
    x = floating(x)
    if not sizes("x N T D, h0 N H", x, states[0])["T"]:
        raise ValueError(f"x {x.shape} has no steps; expected x (N, T, D)")
    cache, h = ([], x, states, weights), []
    for t in range(x.shape[1]):
        *states, step_cache = step(x[:, t], *states, *weights)
        h.append(states[0])
        cache[0].append(step_cache)
    return np.stack(h, axis=1), cache


def _through_time(step_backward, dh, cache):
    """Backpropagate through time: sum the weights' gradients, hand on those of the states."""
    caches, x, states, weights = cache
    sizes("x N T D, h0 N H, dh N T H", x, states[0], dh)
    dx, *dstates = map(np.zeros_like, (x, *states))
    sums = list(map(np.zeros_like, weights))
    for t in reversed(range(len(caches))):
        dstates[0] = dstates[0] + dh[:, t]
        dx[:, t], *gradients = step_backward(*dstates, caches[t])
        dstates, gradients = gradients[: len(states)], gradients[len(states) :]
        sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
    return (dx, *dstates, *sums)
