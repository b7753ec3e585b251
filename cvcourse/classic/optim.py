"""Updates of the assignments: plain SGD, momentum, RMSprop, Adam.

Each takes the weights, their gradient and a configuration, and returns the new weights and the
configuration of the next step. CS231n notes, "Parameter updates",
https://cs231n.github.io/neural-networks-3. `cvcourse.optimization` has them as Keras optimizers.
"""

from typing import Any

import numpy as np

Step = tuple[np.ndarray, dict[str, Any]]


def sgd(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> Step:
    """Take a step against the gradient.

    Args:
        w: Weights of any shape.
        dw: Gradient of the loss, of the shape of w.
        config: learning_rate (default 1e-2).

    Returns:
        The new weights and the configuration.

    >>> sgd(np.ones(1), np.ones(1), {"learning_rate": 0.5})[0]
    array([0.5])
    """
    settings: dict[str, Any] = {"learning_rate": 1e-2} | (config or {})
    return w - settings["learning_rate"] * dw, settings


def sgd_momentum(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> Step:
    """Take a step by a velocity, in which gradients accumulate and decay.

    Args:
        w: Weights of any shape.
        dw: Gradient of the loss, of the shape of w.
        config: learning_rate (1e-2), momentum (0.9), velocity (zeros).

    Returns:
        The new weights and the configuration.

    >>> sgd_momentum(np.ones(1), np.ones(1), {"learning_rate": 0.5})[1]["velocity"]
    array([-0.5])
    """
    defaults = {"learning_rate": 1e-2, "momentum": 0.9, "velocity": np.zeros_like(w)}
    settings: dict[str, Any] = defaults | (config or {})
    velocity = settings["momentum"] * settings["velocity"] - settings["learning_rate"] * dw
    return w + velocity, settings | {"velocity": velocity}


def rmsprop(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> Step:
    """Divide the step by the root of a running mean of squared gradients.

    Args:
        w: Weights of any shape.
        dw: Gradient of the loss, of the shape of w.
        config: learning_rate (1e-2), decay_rate (0.99), epsilon (1e-8), cache (zeros).

    Returns:
        The new weights and the configuration.

    >>> rmsprop(np.ones(1), np.ones(1), {"decay_rate": 0.0})[0].round(4)
    array([0.99])
    """
    defaults = {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}
    settings: dict[str, Any] = defaults | {"cache": np.zeros_like(w)} | (config or {})
    decay = settings["decay_rate"]
    cache = decay * settings["cache"] + (1 - decay) * dw**2
    step = settings["learning_rate"] * dw / (np.sqrt(cache) + settings["epsilon"])
    return w - step, settings | {"cache": cache}


def adam(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> Step:
    """Combine momentum and RMSprop, corrected for moments that begin at 0.

    Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1.

    Args:
        w: Weights of any shape.
        dw: Gradient of the loss, of the shape of w.
        config: learning_rate (1e-3), beta1 (0.9), beta2 (0.999), epsilon (1e-8), m and v (zeros),
            t (0), the number of steps before.

    Returns:
        The new weights and the configuration.

    >>> adam(np.ones(1), np.ones(1))[0].round(4)
    array([0.999])
    """
    defaults = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    moments = {"m": np.zeros_like(w), "v": np.zeros_like(w), "t": 0}
    settings: dict[str, Any] = defaults | moments | (config or {})
    beta1, beta2, t = settings["beta1"], settings["beta2"], settings["t"] + 1
    m = beta1 * settings["m"] + (1 - beta1) * dw
    v = beta2 * settings["v"] + (1 - beta2) * dw**2
    step = settings["learning_rate"] * (m / (1 - beta1**t))
    step /= np.sqrt(v / (1 - beta2**t)) + settings["epsilon"]
    return w - step, settings | {"m": m, "v": v, "t": t}
