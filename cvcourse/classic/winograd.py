"""Winograd's convolution by filters of 3 x 3, with the fewest multiplications.

F(m, 3): m outputs of a filter of 3 values by m + 2 products, in place of 3 m. Inputs, filter and
products are transformed: polynomials, evaluated and interpolated at m + 1 points and infinity.
Nested, F(m x m, 3 x 3) has (m + 2)^2 products in place of 9 m^2: 2.25 times fewer for m = 2, 4
times for m = 4. Lavin & Gray 2015, https://arxiv.org/abs/1509.09308, section 4.
"""

import numpy as np

from cvcourse.classic.precision import product
from cvcourse.classic.shapes import floating, sizes
from cvcourse.classic.windows import output_size, window_pixels

TRANSFORMS = {  # m: B^T of images, G of filters, A^T of products
    2: (  # points 0, 1, -1 and infinity
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (  # points 0, 1, -1, 2, -2 and infinity
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


def conv_winograd(x: np.ndarray, w: np.ndarray, pad: int = 0, *, m: int = 2) -> np.ndarray:
    """Convolve tile by tile, by F(m x m, 3 x 3).

    Args:
        x: Images, (N, C, H, W).
        w: Filters, (F, C, 3, 3).
        pad: Rows and columns of zeros around x.
        m: Height and width of a tile of outputs, 2 or 4.

    Returns:
        The outputs, (N, F, H + 2 pad - 2, W + 2 pad - 2).

    Raises:
        ValueError: If shapes do not fit, or there is no transform for m.

    >>> conv_winograd(np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 3, 3)))
    array([[[[36.]]]])
    """
    sizes("x N C H W, w F C 3 3", x, w)
    if m not in TRANSFORMS:
        raise ValueError(f"m is {m}; it is one of {', '.join(map(str, TRANSFORMS))}")
    x = floating(x)
    (n, c, height, width), f = x.shape, len(w)
    rows, columns = output_size(x.shape, (3, 3), 1, pad)
    down, across = tile_counts(rows, columns, m)
    image, kernel, back = (np.array(matrix, x.dtype) for matrix in TRANSFORMS[m])
    padded = np.zeros((n, c, m * down + 2, m * across + 2), x.dtype)
    padded[:, :, pad : pad + height, pad : pad + width] = x
    tiles = np.stack([*window_pixels(padded, (m + 2, m + 2), m)]).swapaxes(1, 2)
    tiles = nested(image, tiles.reshape(m + 2, m + 2, c, -1))
    # For each of the (m + 2)^2 places, a product of matrices over the channels.
    products = product(nested(kernel, w.transpose(2, 3, 0, 1)), tiles)
    out = nested(back, products).reshape(m, m, f, n, down, across).transpose(3, 2, 4, 0, 5, 1)
    return out.reshape(n, f, m * down, m * across)[:, :, :rows, :columns]


def tile_counts(rows: int, columns: int, m: int) -> tuple[int, int]:
    """Count the tiles of m x m outputs along height and width; the last may cross the border.

    Args:
        rows: Height of the outputs.
        columns: Width of the outputs.
        m: Height and width of a tile.

    Returns:
        (tiles along height, tiles along width).

    >>> tile_counts(4, 5, 2)
    (2, 3)
    """
    return -(-rows // m), -(-columns // m)


def nested(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Transform the columns and the rows of squares, T x T^t.

    Args:
        matrix: T, (k, a).
        x: Squares, (a, a, ...).

    Returns:
        Squares, (k, k, ...).

    >>> nested(np.array([[1, 1]]), np.arange(4).reshape(2, 2))
    array([[6]])
    """
    for _ in range(2):
        columns = product(matrix, x.reshape(len(x), -1))
        x = columns.reshape(len(matrix), *x.shape[1:]).swapaxes(0, 1)
    return x


def multiplications(tiles: int, channels: int, filters: int, m: int) -> dict[str, int]:
    """Count the multiplications of `conv_winograd`.

    Args:
        tiles: Number of tiles of all images.
        channels: Number of channels, C.
        filters: Number of filters, F.
        m: Height and width of a tile of outputs.

    Returns:
        {"products": of an image's value and a filter's, "constants": of a value and a constant of
        the transforms other than 0, 1 and -1}.

    >>> multiplications(1, 1, 1, m=2)  # of 4 outputs, in place of 36
    {'products': 16, 'constants': 42}
    """
    squares = tiles * channels, filters * channels, tiles * filters  # that are transformed
    constants = 0
    for count, matrix in zip(squares, map(np.array, TRANSFORMS[m]), strict=True):
        constants += count * sum(matrix.shape) * int((~np.isin(matrix, (-1, 0, 1))).sum())
    return {"products": (m + 2) ** 2 * tiles * channels * filters, "constants": constants}
