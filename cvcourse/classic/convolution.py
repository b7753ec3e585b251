"""Convolution, forward and backward: with loops, and as one matrix product (im2col).

An output is the sum of a window of the image, over all channels, times a filter (mathematically a
cross-correlation: the filter isn't flipped). im2col copies each window into a column of a matrix,
so that a convolution is one product. Names are the assignments'; notes, "Convolutional neural
networks", https://cs231n.github.io/convolutional-networks.
"""

import math
from typing import Any

import numpy as np

from cvcourse.classic.shapes import check_gradient, floating, sizes
from cvcourse.classic.windows import (
    col2im,
    crop_images,
    im2col,
    output_size,
    pad_images,
    window_slices,
)

Gradients = tuple[np.ndarray, np.ndarray, np.ndarray]


def conv_forward_naive(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, conv_param: dict[str, int]
) -> tuple[np.ndarray, Any]:
    """Compute a convolution, a loop over the outputs.

    Args:
        x: Images, (N, C, H, W).
        w: Filters, (F, C, HH, WW).
        b: Biases, (F,).
        conv_param: {"stride": pixels between windows, "pad": rows and columns of zeros around x}.

    Returns:
        The outputs, (N, F, 1 + (H + 2 pad - HH) / stride, 1 + (W + 2 pad - WW) / stride), and a
        cache.

    >>> x, w = np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2))
    >>> conv_forward_naive(x, w, np.zeros(1), {"stride": 1, "pad": 0})[0].item()
    6.0
    """
    sizes("x N C H W, w F C HH WW, b F", x, w, b)
    x, (stride, pad) = floating(x), (conv_param["stride"], conv_param["pad"])
    field = w.shape[2:]
    shape = len(x), len(w), *output_size(x.shape, field, stride, pad)
    padded, out = pad_images(x, pad), np.empty(shape, x.dtype)
    for n, f, i, j in np.ndindex(shape):
        out[n, f, i, j] = (padded[n][window_slices(i, j, field, stride)] * w[f]).sum() + b[f]
    return out, (x, w, stride, pad)


def conv_backward_naive(dout: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `conv_forward_naive`, a loop over the outputs.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, w and b.

    >>> x, w = np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2))
    >>> out, cache = conv_forward_naive(x, w, np.zeros(1), {"stride": 1, "pad": 0})
    >>> conv_backward_naive(np.ones((1, 1, 1, 1)), cache)[1].ravel()
    array([0., 1., 2., 3.])
    """
    x, w, stride, pad = cache
    check_gradient(dout, (len(x), len(w), *output_size(x.shape, w.shape[2:], stride, pad)))
    padded, dw = pad_images(x, pad), np.zeros_like(w)
    dpadded = np.zeros_like(padded)
    for n, f, i, j in np.ndindex(dout.shape):
        window = window_slices(i, j, w.shape[2:], stride)
        dw[f] += dout[n, f, i, j] * padded[n][window]
        dpadded[n][window] += dout[n, f, i, j] * w[f]
    return crop_images(dpadded, pad), dw, dout.sum(axis=(0, 2, 3))


def conv_forward_im2col(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, conv_param: dict[str, int]
) -> tuple[np.ndarray, Any]:
    """Compute a convolution as the product of the filters and the columns of `im2col`.

    Args:
        x: Images, (N, C, H, W).
        w: Filters, (F, C, HH, WW).
        b: Biases, (F,).
        conv_param: {"stride", "pad"}, see `conv_forward_naive`.

    Returns:
        The outputs of `conv_forward_naive`, and a cache.

    >>> x, w = np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2))
    >>> conv_forward_im2col(x, w, np.zeros(1), {"stride": 1, "pad": 0})[0].item()
    6.0
    """
    sizes("x N C H W, w F C HH WW, b F", x, w, b)
    stride, pad = conv_param["stride"], conv_param["pad"]
    height, width = w.shape[2:]
    rows, columns = output_size(x.shape, (height, width), stride, pad)
    cols = im2col(x, height, width, pad, stride)
    out = (w.reshape(len(w), -1) @ cols + b[:, None]).reshape(len(w), len(x), rows, columns)
    return np.ascontiguousarray(out.transpose(1, 0, 2, 3)), (x.shape, w, stride, pad, cols)


def conv_backward_im2col(dout: np.ndarray, cache: Any) -> Gradients:
    """Compute the gradients of `conv_forward_im2col`, two products of matrices.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradients of x, w and b.

    >>> x, w = np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2))
    >>> out, cache = conv_forward_im2col(x, w, np.zeros(1), {"stride": 1, "pad": 0})
    >>> conv_backward_im2col(np.ones((1, 1, 1, 1)), cache)[1].ravel()
    array([0., 1., 2., 3.])
    """
    shape, w, stride, pad, cols = cache
    height, width = w.shape[2:]
    check_gradient(dout, (shape[0], len(w), *output_size(shape, (height, width), stride, pad)))
    flat = dout.transpose(1, 0, 2, 3).reshape(len(w), -1)
    dcols = w.reshape(len(w), -1).T @ flat
    dx = col2im(dcols, shape, height, width, pad, stride)
    return dx, (flat @ cols.T).reshape(w.shape), flat.sum(axis=1)


def conv_sizes(
    input_shape: tuple[int, ...], filters: int, field: tuple[int, ...], stride: int, pad: int
) -> dict[str, Any]:
    """Count what a convolution has and does.

    Args:
        input_shape: Shape of an image, (C, H, W).
        filters: Number of filters, F.
        field: Height and width of a filter.
        stride: Pixels between windows.
        pad: Rows and columns of zeros around the image.

    Returns:
        {"output": shape (F, H', W'), "neurons": its values, "weights", "parameters": weights and
        biases, "im2col": shape of the matrix of `im2col`, "multiplications": of one image}.

    >>> sizes = conv_sizes((3, 227, 227), 96, (11, 11), stride=4, pad=0)  # the first of AlexNet
    >>> sizes["output"], sizes["parameters"], sizes["im2col"], sizes["multiplications"]
    ((96, 55, 55), 34944, (363, 3025), 105415200)
    """
    output = filters, *output_size((1, *input_shape), field, stride, pad)
    window, places = input_shape[0] * math.prod(field), math.prod(output[1:])
    return {
        "output": output,
        "neurons": math.prod(output),
        "weights": filters * window,
        "parameters": filters * (window + 1),
        "im2col": (window, places),
        "multiplications": filters * window * places,
    }
