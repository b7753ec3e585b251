"""Products of matrices in the precision of their arrays."""

import numpy as np


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply matrices; in float16, every product and every sum is rounded to float16.

    NumPy's own product of float16 matrices sums in float32 and rounds once.

    Args:
        a: Matrices, (..., M, K).
        b: Matrices, (..., K, N).

    Returns:
        Matrices, (..., M, N).

    >>> ones = np.ones((1, 4096), "float16")
    >>> product(ones, ones.T).item(), (ones @ ones.T).item()  # in 11 bits, 2048 + 1 is 2048
    (2048.0, 4096.0)
    """
    if a.dtype != np.float16:
        # Of matrices that aren't contiguous, NumPy computes the product without BLAS.
        return np.ascontiguousarray(a) @ np.ascontiguousarray(b)
    terms = (a[..., k, None] * b[..., None, k, :] for k in range(a.shape[-1]))
    return sum(terms)
