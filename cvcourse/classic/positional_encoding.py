"""Positional encoding: sines and cosines of the position, which a Transformer adds to its inputs.

Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5.
"""

import numpy as np

from cvcourse.classic.shapes import floating, sizes


def positional_encoding(x: np.ndarray, base: float = 10000.0) -> np.ndarray:
    """Add sines (even features) and cosines (odd ones) of the position to a sequence.

    Args:
        x: Inputs, (N, T, D).
        base: Features 2k and 2k + 1 have the frequency base ** (-2k / D).

    Returns:
        The sum, (N, T, D); its gradient is that of x.

    >>> positional_encoding(np.zeros((1, 2, 2))).round(4)
    array([[[0.    , 1.    ],
            [0.8415, 0.5403]]])
    """
    x, size = floating(x), sizes("x N T D", x)
    feature = np.arange(size["D"])
    angles = np.arange(size["T"])[:, None] * base ** (-(feature // 2 * 2) / size["D"])
    return x + np.where(feature % 2, np.cos(angles), np.sin(angles)).astype(x.dtype)
