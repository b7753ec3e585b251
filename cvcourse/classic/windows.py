"""Windows of images, copied into the columns of a matrix (im2col) and added back (col2im).

A window starts every `stride` pixels in an image with `pad` rows and columns of zeros around it.
Notes, "Implementation as matrix multiplication", https://cs231n.github.io/convolutional-networks.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from cvcourse.classic.shapes import check_gradient


def output_size(
    x_shape: tuple[int, ...], field: tuple[int, ...], stride: int, pad: int
) -> tuple[int, int]:
    """Count the windows along height and width: (size - field + 2 pad) / stride + 1 of each.

    Args:
        x_shape: Shape of the images, (N, C, H, W).
        field: Height and width of a window.
        stride: Pixels between windows.
        pad: Rows and columns of zeros around the images.

    Returns:
        (H', W').

    Raises:
        ValueError: If the windows do not tile the images, or the shapes are others.

    >>> output_size((1, 3, 227, 227), (11, 11), 4, 0)
    (55, 55)
    >>> output_size((1, 3, 10, 10), (3, 3), 2, 0)
    Traceback (most recent call last):
    ValueError: windows (3, 3) with stride 2 do not tile x (1, 3, 10, 10) with pad 0: height and \
width plus 2 pad minus the window must be multiples of the stride, 0 or more
    """
    if len(x_shape) != 4 or len(field) != 2:
        raise ValueError(
            f"x {tuple(x_shape)}, window {tuple(field)}; expected (N, C, H, W), (HH, WW)"
        )
    if stride < 1 or pad < 0 or min(field) < 1:
        raise ValueError(
            f"window {tuple(field)}, stride {stride}, pad {pad}; window and stride are 1 or more, "
            "pad is 0 or more"
        )
    room = [size + 2 * pad - extent for size, extent in zip(x_shape[2:], field, strict=True)]
    if min(room) < 0 or any(pixels % stride for pixels in room):
        raise ValueError(
            f"windows {tuple(field)} with stride {stride} do not tile x {tuple(x_shape)} with pad "
            f"{pad}: height and width plus 2 pad minus the window must be multiples of the stride, "
            "0 or more"
        )
    return room[0] // stride + 1, room[1] // stride + 1


def window_slices(i: int, j: int, field: tuple[int, ...], stride: int) -> tuple:
    """Return the index of one window.

    Args:
        i: Its row, 0 to H' - 1.
        j: Its column, 0 to W' - 1.
        field: Height and width of a window.
        stride: Pixels between windows.

    Returns:
        An index of images of any number of dimensions, (..., H, W).

    >>> np.arange(9).reshape(3, 3)[window_slices(0, 1, (2, 2), stride=1)]
    array([[1, 2],
           [4, 5]])
    """
    rows, columns = (slice(k * stride, k * stride + n) for k, n in zip((i, j), field, strict=True))
    return ..., rows, columns


def window_pixels(x: np.ndarray, field: tuple[int, ...], stride: int) -> Iterator[np.ndarray]:
    """Iterate over the places in a window, and view the pixels of all windows at that place.

    A few large steps, one for each place, in place of many small ones, one for each window.

    Args:
        x: Images with their zeros around them, (N, C, H, W).
        field: Height and width of a window.
        stride: Pixels between windows.

    Yields:
        Views of x, (N, C, H', W'), row by row of the window.

    >>> x = np.arange(3).reshape(1, 1, 1, 3)
    >>> [pixels.ravel().tolist() for pixels in window_pixels(x, (1, 2), 1)]
    [[0, 1], [1, 2]]
    """
    rows, columns = output_size(x.shape, field, stride, 0)
    for i, j in itertools.product(*map(range, field)):
        yield x[:, :, i::stride, j::stride][:, :, :rows, :columns]


def pad_images(x: np.ndarray, pad: int) -> np.ndarray:
    """Put rows and columns of zeros around images.

    Args:
        x: Images, (N, C, H, W).
        pad: Number of rows and columns on each side.

    Returns:
        Images, (N, C, H + 2 pad, W + 2 pad).

    >>> pad_images(np.ones((1, 1, 1, 1)), 1)[0, 0, 1]
    array([0., 1., 0.])
    """
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))


def crop_images(x: np.ndarray, pad: int) -> np.ndarray:
    """Undo `pad_images`: the gradient of the zeros is dropped.

    Args:
        x: Images, (N, C, H + 2 pad, W + 2 pad).
        pad: Number of rows and columns on each side.

    Returns:
        A view, (N, C, H, W).

    >>> crop_images(np.arange(9).reshape(1, 1, 3, 3), 1).item()
    4
    """
    return x[:, :, pad : x.shape[2] - pad, pad : x.shape[3] - pad]


def im2col(x: np.ndarray, field_height: int, field_width: int, pad: int, stride: int) -> np.ndarray:
    """Copy each window of the images into a column.

    Args:
        x: Images, (N, C, H, W).
        field_height: Height of a window, HH.
        field_width: Width of a window, WW.
        pad: Rows and columns of zeros around x.
        stride: Pixels between windows.

    Returns:
        A matrix (C HH WW, N H' W'), for H' x W' windows in each image.

    >>> im2col(np.arange(6.0).reshape(1, 1, 2, 3), 2, 2, 0, 1).T
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.]])
    """
    n, c = x.shape[:2]
    field = field_height, field_width
    rows, columns = output_size(x.shape, field, stride, pad)
    cols = np.empty((c, field_height * field_width, n, rows, columns), x.dtype)
    for k, pixels in enumerate(window_pixels(pad_images(x, pad), field, stride)):
        cols[:, k] = pixels.transpose(1, 0, 2, 3)
    return cols.reshape(c * field_height * field_width, -1)


def col2im(
    cols: np.ndarray,
    x_shape: tuple[int, ...],
    field_height: int,
    field_width: int,
    pad: int,
    stride: int,
) -> np.ndarray:
    """Add each column of `im2col` to its window: a pixel is a sum over the windows that have it.

    Args:
        cols: Columns, (C HH WW, N H' W').
        x_shape: Shape of the images, (N, C, H, W).
        field_height: Height of a window, HH.
        field_width: Width of a window, WW.
        pad: Rows and columns of zeros around x; their sums are dropped.
        stride: Pixels between windows.

    Returns:
        Images, (N, C, H, W): the gradient of x, if `cols` is that of the columns.

    >>> col2im(np.ones((4, 2)), (1, 1, 2, 3), 2, 2, 0, 1)[0, 0]
    array([[1., 2., 1.],
           [1., 2., 1.]])
    """
    n, c, height, width = x_shape
    field = field_height, field_width
    rows, columns = output_size(x_shape, field, stride, pad)
    check_gradient(cols, (c * field_height * field_width, n * rows * columns))
    cols = cols.reshape(c, field_height * field_width, n, rows, columns)
    padded = np.zeros((n, c, height + 2 * pad, width + 2 * pad), cols.dtype)
    for k, pixels in enumerate(window_pixels(padded, field, stride)):
        pixels += cols[:, k].transpose(1, 0, 2, 3)
    return crop_images(padded, pad)
