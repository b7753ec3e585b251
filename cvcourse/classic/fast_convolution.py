"""Convolutions of stride 1 by four methods, their multiplications and their rounding errors.

* direct: for each place in the window, one product of matrices over the channels.
* im2col: one product over channels and places, of a copy of the image that is as many times larger
  as a window has places.
* FFT: a convolution is a product at each frequency. Mathieu et al. 2013,
  https://arxiv.org/abs/1312.5851.
* F(2x2, 3x3), F(4x4, 3x3): `winograd.py`.

Filters aren't flipped. In float16, every product and every sum is rounded to float16: it shows the
error, and is slow.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import scipy.fft

from cvcourse.classic import winograd
from cvcourse.classic.precision import product
from cvcourse.classic.shapes import floating, sizes
from cvcourse.classic.windows import im2col, output_size, pad_images, window_pixels


def conv_direct(x: np.ndarray, w: np.ndarray, pad: int = 0) -> np.ndarray:
    """Convolve, a loop over the places in the window.

    Args:
        x: Images, (N, C, H, W).
        w: Filters, (F, C, HH, WW).
        pad: Rows and columns of zeros around x.

    Returns:
        The outputs, (N, F, H + 2 pad - HH + 1, W + 2 pad - WW + 1).

    >>> conv_direct(np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2)))
    array([[[[6.]]]])
    """
    x, (n, f, rows, columns) = floating(x), _shape(x, w, pad)
    out = np.zeros((n, f, rows * columns), x.dtype)
    places = np.ndindex(w.shape[2:])
    views = window_pixels(pad_images(x, pad), w.shape[2:], 1)
    for (i, j), pixels in zip(places, views, strict=True):
        out += product(w[:, :, i, j], pixels.reshape(n, w.shape[1], rows * columns))
    return out.reshape(n, f, rows, columns)


def conv_im2col(x: np.ndarray, w: np.ndarray, pad: int = 0) -> np.ndarray:
    """Convolve by one product of matrices.

    Args:
        x: Images, (N, C, H, W).
        w: Filters, (F, C, HH, WW).
        pad: Rows and columns of zeros around x.

    Returns:
        The outputs of `conv_direct`.

    >>> conv_im2col(np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2)))
    array([[[[6.]]]])
    """
    n, f, rows, columns = _shape(x, w, pad)
    cols = im2col(x, w.shape[2], w.shape[3], pad, stride=1)
    return product(w.reshape(f, -1), cols).reshape(f, n, rows, columns).swapaxes(0, 1)


def conv_fft(x: np.ndarray, w: np.ndarray, pad: int = 0) -> np.ndarray:
    """Convolve by a product at each frequency.

    The FFT's convolution is circular: windows that cross the border continue at the other side.
    They are dropped, so that the size of the image, rounded up to one that is fast, is enough.

    Args:
        x: Images, (N, C, H, W).
        w: Filters, (F, C, HH, WW).
        pad: Rows and columns of zeros around x.

    Returns:
        The outputs of `conv_direct`.

    Raises:
        ValueError: If the inputs are float16, which no FFT here computes in.

    >>> conv_fft(np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2)))
    array([[[[6.]]]])
    """
    _, _, rows, columns = _shape(x, w, pad)
    if x.dtype == np.float16:
        raise ValueError("x is float16; the FFT computes in float32 or float64")
    size = _fft_size(x.shape, pad)
    # Frequencies to the front, each with a product of matrices; the conjugate doesn't flip filters.
    images = scipy.fft.rfft2(pad_images(x, pad), size).transpose(2, 3, 0, 1)
    filters = scipy.fft.rfft2(w, size).conj().transpose(2, 3, 1, 0)
    out = scipy.fft.irfft2(product(images, filters).transpose(2, 3, 0, 1), size)
    return out[:, :, :rows, :columns]


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "direct": conv_direct,
    "im2col": conv_im2col,
    "FFT": conv_fft,
    "F(2x2, 3x3)": functools.partial(winograd.conv_winograd, m=2),
    "F(4x4, 3x3)": functools.partial(winograd.conv_winograd, m=4),
}


def multiplications(
    method: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], pad: int = 0
) -> dict[str, int]:
    """Count the multiplications of a method.

    The FFT multiplies complex numbers, 4 products each, at half of the frequencies of real images;
    a transform of M pixels has M log2 M products with constants: of the radix-2 FFT, M/2 log2 M
    complex ones, half for real pixels.

    Args:
        method: Name in METHODS.
        x_shape: Shape of the images, (N, C, H, W).
        w_shape: Shape of the filters, (F, C, HH, WW).
        pad: Rows and columns of zeros around the images.

    Returns:
        {"products": of an image's value and a filter's, "constants": of a value and a constant of
        the transforms other than 0, 1 and -1}.

    Raises:
        ValueError: If there is no such method, or the shapes do not fit.

    >>> multiplications("direct", (1, 1, 4, 4), (1, 1, 3, 3))
    {'products': 36, 'constants': 0}
    >>> multiplications("F(2x2, 3x3)", (1, 1, 4, 4), (1, 1, 3, 3))
    {'products': 16, 'constants': 42}
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it is one of {', '.join(METHODS)}")
    if x_shape[1] != w_shape[1] or (method.startswith("F(") and w_shape[2:] != (3, 3)):
        raise ValueError(
            f"shapes do not fit: x {x_shape}, w {w_shape}; expected x (N, C, H, W), w (F, C, HH, "
            "WW), 3 and 3 for F(2x2, 3x3) and F(4x4, 3x3)"
        )
    (n, c), f = x_shape[:2], w_shape[0]
    rows, columns = output_size(x_shape, w_shape[2:], 1, pad)
    if method.startswith("F("):
        m = int(method[2])
        tiles = n * math.prod(winograd.tile_counts(rows, columns, m))
        return winograd.multiplications(tiles, c, f, m)
    if method == "FFT":
        height, width = _fft_size(x_shape, pad)
        transforms, points = n * c + f * c + n * f, height * width
        return {
            "products": 4 * n * f * c * height * (width // 2 + 1),
            "constants": round(transforms * points * math.log2(points)),
        }
    return {"products": n * f * c * rows * columns * math.prod(w_shape[2:]), "constants": 0}


def rounding_error(method: str, x: np.ndarray, w: np.ndarray, pad: int = 0) -> float:
    """Measure the error of a method in the precision of its inputs.

    Args:
        method: Name in METHODS.
        x: Images, (N, C, H, W).
        w: Filters, (F, C, HH, WW).
        pad: Rows and columns of zeros around x.

    Returns:
        Largest difference from the outputs of `conv_direct` in float64, relative to the largest
        of these.

    >>> rounding_error("direct", np.full((1, 1, 1, 2), 1 / 3), np.ones((1, 1, 1, 2)))
    0.0
    """
    exact = conv_direct(x.astype(np.float64), w.astype(np.float64), pad)
    return float(np.abs(METHODS[method](x, w, pad) - exact).max() / np.abs(exact).max())


def _shape(x, w, pad):
    """Return the shape of the outputs, (N, F, H', W')."""
    sizes("x N C H W, w F C HH WW", x, w)
    return len(x), len(w), *output_size(x.shape, w.shape[2:], 1, pad)


def _fft_size(x_shape, pad):
    """Return the size of an image with its zeros, rounded up to one whose FFT is fast."""
    return [scipy.fft.next_fast_len(size + 2 * pad, real=True) for size in x_shape[2:]]
