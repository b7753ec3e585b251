"""Max and average pooling, forward and backward.

Of equal largest values in a window, the first, row by row, has the gradient. Names are the
assignments'; notes, "Pooling layer", https://cs231n.github.io/convolutional-networks.
"""

from typing import Any

import numpy as np

from cvcourse.classic.shapes import check_gradient, floating, sizes
from cvcourse.classic.windows import output_size, window_pixels, window_slices


def max_pool_forward_naive(x: np.ndarray, pool_param: dict[str, int]) -> tuple[np.ndarray, Any]:
    """Compute the largest value of each window, a loop over the windows.

    Args:
        x: Images, (N, C, H, W).
        pool_param: {"pool_height", "pool_width": size of a window, "stride": pixels between
            windows}.

    Returns:
        The outputs, (N, C, 1 + (H - pool_height) / stride, 1 + (W - pool_width) / stride), and a
        cache.

    >>> x, pool_param = np.arange(4.0).reshape(1, 1, 2, 2), {"pool_height": 2, "pool_width": 2}
    >>> max_pool_forward_naive(x, pool_param | {"stride": 2})[0].item()
    3.0
    """
    x, (field, stride) = floating(x), _windows(x, pool_param)
    shape = *x.shape[:2], *output_size(x.shape, field, stride, 0)
    out = np.empty(shape, x.dtype)
    for n, c, i, j in np.ndindex(shape):
        out[n, c, i, j] = x[n, c][window_slices(i, j, field, stride)].max()
    return out, (x, field, stride)


def max_pool_backward_naive(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `max_pool_forward_naive`, a loop over the windows.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> x, pool_param = np.arange(4.0).reshape(1, 1, 2, 2), {"pool_height": 2, "pool_width": 2}
    >>> out, cache = max_pool_forward_naive(x, pool_param | {"stride": 2})
    >>> max_pool_backward_naive(out, cache)[0, 0]
    array([[0., 0.],
           [0., 3.]])
    """
    x, field, stride = cache
    check_gradient(dout, (*x.shape[:2], *output_size(x.shape, field, stride, 0)))
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dout.shape):
        window = window_slices(i, j, field, stride)
        place = np.unravel_index(x[n, c][window].argmax(), field)  # the first of equal ones
        dx[n, c][window][place] += dout[n, c, i, j]
    return dx


def max_pool_forward_fast(x: np.ndarray, pool_param: dict[str, int]) -> tuple[np.ndarray, Any]:
    """Compute `max_pool_forward_naive`, a loop over the places in a window.

    Args:
        x: Images, (N, C, H, W).
        pool_param: {"pool_height", "pool_width", "stride"}.

    Returns:
        The outputs, and a cache.

    >>> x, pool_param = np.arange(4.0).reshape(1, 1, 2, 2), {"pool_height": 2, "pool_width": 2}
    >>> max_pool_forward_fast(x, pool_param | {"stride": 2})[0].item()
    3.0
    """
    field, stride = _windows(x, pool_param)
    first, *others = window_pixels(x, field, stride)
    out, places = first.copy(), np.zeros(first.shape, np.int32)  # of the largest in its window
    for place, pixels in enumerate(others, start=1):
        places[pixels > out] = place
        np.maximum(out, pixels, out=out)
    return out, (x.shape, places, field, stride)


def max_pool_backward_fast(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `max_pool_forward_fast`.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> x, pool_param = np.arange(4.0).reshape(1, 1, 2, 2), {"pool_height": 2, "pool_width": 2}
    >>> out, cache = max_pool_forward_fast(x, pool_param | {"stride": 2})
    >>> max_pool_backward_fast(out, cache)[0, 0]
    array([[0., 0.],
           [0., 3.]])
    """
    shape, places, field, stride = cache
    check_gradient(dout, places.shape)
    dx = np.zeros(shape, dout.dtype)
    for place, pixels in enumerate(window_pixels(dx, field, stride)):
        pixels += np.where(places == place, dout, 0)
    return dx


def avg_pool_forward(x: np.ndarray, pool_param: dict[str, int]) -> tuple[np.ndarray, Any]:
    """Compute the mean of each window.

    Args:
        x: Images, (N, C, H, W).
        pool_param: {"pool_height", "pool_width", "stride"}.

    Returns:
        The outputs, and a cache.

    >>> x, pool_param = np.arange(4.0).reshape(1, 1, 2, 2), {"pool_height": 2, "pool_width": 2}
    >>> avg_pool_forward(x, pool_param | {"stride": 2})[0].item()
    1.5
    """
    field, stride = _windows(x, pool_param)
    out = sum(window_pixels(floating(x), field, stride)) / (field[0] * field[1])
    return out, (x.shape, field, stride)


def avg_pool_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """Compute the gradient of `avg_pool_forward`: an equal share for each value of a window.

    Args:
        dout: Gradient of the outputs.
        cache: Cache of the forward pass.

    Returns:
        Gradient of x.

    >>> x, pool_param = np.arange(4.0).reshape(1, 1, 2, 2), {"pool_height": 2, "pool_width": 2}
    >>> out, cache = avg_pool_forward(x, pool_param | {"stride": 2})
    >>> avg_pool_backward(np.ones((1, 1, 1, 1)), cache)[0, 0, 0]
    array([0.25, 0.25])
    """
    shape, field, stride = cache
    check_gradient(dout, (*shape[:2], *output_size(shape, field, stride, 0)))
    dx = np.zeros(shape, dout.dtype)
    for pixels in window_pixels(dx, field, stride):
        pixels += dout / (field[0] * field[1])
    return dx


def _windows(x, pool_param):
    """Return the height and width of a window, and the stride."""
    sizes("x N C H W", x)
    return (pool_param["pool_height"], pool_param["pool_width"]), pool_param["stride"]
