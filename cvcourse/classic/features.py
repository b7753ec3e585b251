"""Features of images for a linear classifier: histograms of oriented gradients, and of hues.

`hog` is the descriptor of Dalal & Triggs 2005, https://doi.org/10.1109/CVPR.2005.177, equal to that
of scikit-image; the other functions are those of CS231n's assignment 1. An image is (H, W, C), or
(H, W) if it is gray; several images are (N, H, W, C).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from cvcourse.classic.colors import rgb_to_hsv
from cvcourse.classic.shapes import sizes

CHUNK = 50  # images at a time; their arrays stay in the cache of a core
BLOCK_NORMS = ("L1", "L1-sqrt", "L2", "L2-Hys")


def extract_features(imgs: np.ndarray, feature_fns: Sequence[Callable]) -> np.ndarray:
    """Compute several features of each image, and join them.

    Args:
        imgs: Images, (N, H, W, C).
        feature_fns: Functions such as `hog_feature`: (N, H, W, C) -> (N, F).

    Returns:
        (N, sum of the F).

    >>> extract_features(np.zeros((2, 32, 32, 3)), [hog_feature, color_histogram_hsv]).shape
    (2, 154)
    """
    chunks = [imgs[i : i + CHUNK] for i in range(0, max(len(imgs), 1), CHUNK)]
    return np.concatenate(
        [np.concatenate([feature(chunk) for feature in feature_fns], axis=1) for chunk in chunks]
    )


def hog_feature(im: np.ndarray, pixels_per_cell: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Compute the assignment's HOG: the mean of each cell's gradients by 9 directions.

    Directions are those of the half plane in which pixels become brighter to the right; other
    gradients count nothing. Blocks are not normalized. Gray is 0.299 R + 0.587 G + 0.144 B, with
    the assignment's weight of blue (the usual one is 0.114).

    Args:
        im: Image or images.
        pixels_per_cell: Height and width of a cell.

    Returns:
        (F,) or (N, F), by column, row and direction of the cells.

    >>> hog_feature(np.tile(np.arange(8.0), (8, 1)))  # a ramp: 7 of 8 columns have a gradient of 1
    array([0.   , 0.   , 0.   , 0.   , 0.875, 0.   , 0.   , 0.   , 0.   ])
    """
    images, one = _batch(im)
    gray = images @ [0.299, 0.587, 0.144] if images.shape[-1] == 3 else images.mean(axis=-1)
    gx, gy = np.zeros_like(gray), np.zeros_like(gray)
    gx[:, :, :-1], gy[:, :-1] = np.diff(gray, axis=2), np.diff(gray, axis=1)
    degrees = np.degrees(np.arctan2(gy, gx + 1e-15)) + 90
    strengths = np.where(degrees > 0, np.hypot(gx, gy), 0)
    cells = _cells(strengths, degrees, 9, pixels_per_cell)
    return _as_given(cells.swapaxes(1, 2), one, im)


def hog(
    image: np.ndarray,
    orientations: int = 9,
    pixels_per_cell: tuple[int, int] = (8, 8),
    cells_per_block: tuple[int, int] = (3, 3),
    block_norm: str = "L2-Hys",
    transform_sqrt: bool = False,
) -> np.ndarray:
    """Compute histograms of oriented gradients of cells, normalized in overlapping blocks.

    Equal to scikit-image's `hog`. Of several channels, each pixel has that of its largest gradient.

    Args:
        image: Image or images.
        orientations: Number of orientations from 0 to 180 degrees.
        pixels_per_cell: Height and width of a cell.
        cells_per_block: Height and width of a block, in cells.
        block_norm: L1, L1-sqrt, L2, or L2-Hys: L2, clipped at 0.2, and L2 again.
        transform_sqrt: Whether to take the square root of the pixels first.

    Returns:
        (F,) or (N, F).

    Raises:
        ValueError: If an image is smaller than a block, or block_norm is another one.

    >>> hog(np.tile(np.arange(24.0), (24, 1)), cells_per_block=(1, 1)).reshape(9, 9)[0]
    array([1., 0., 0., 0., 0., 0., 0., 0., 0.])
    """
    if block_norm not in BLOCK_NORMS:
        raise ValueError(f"block_norm is {block_norm!r}; it is one of {', '.join(BLOCK_NORMS)}")
    images, one = _batch(image)
    if transform_sqrt:
        images = np.sqrt(images)
    gx, gy = np.zeros_like(images), np.zeros_like(images)
    gx[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    gy[:, 1:-1] = images[:, 2:] - images[:, :-2]
    strengths = np.hypot(gx, gy)
    largest = strengths.argmax(axis=-1)[..., None]
    gx, gy, strengths = (
        np.take_along_axis(values, largest, -1)[..., 0] for values in (gx, gy, strengths)
    )
    cells = _cells(strengths, np.degrees(np.arctan2(gy, gx)) % 180, orientations, pixels_per_cell)
    if cells.shape[1] < cells_per_block[0] or cells.shape[2] < cells_per_block[1]:
        raise ValueError(
            f"image {np.shape(image)} has {cells.shape[1]}x{cells.shape[2]} cells of "
            f"{pixels_per_cell} pixels; a block has {cells_per_block} cells"
        )
    blocks = np.lib.stride_tricks.sliding_window_view(cells, cells_per_block, axis=(1, 2))
    blocks = np.moveaxis(blocks, 3, -1)  # (N, rows, columns, rows and columns in it, orientations)
    return _as_given(_normalized(blocks, block_norm), one, image)


def color_histogram_hsv(
    im: np.ndarray, nbin: int = 10, xmin: float = 0, xmax: float = 255, normalized: bool = True
) -> np.ndarray:
    """Compute the histogram of the hues of an image.

    Args:
        im: Image or images with red, green and blue up to xmax.
        nbin: Number of bins.
        xmin: Lower end of the first bin, on a scale of hues from 0 to xmax.
        xmax: Largest value of a pixel.
        normalized: Whether to return shares of the pixels, not their numbers.

    Returns:
        (nbin,) or (N, nbin).

    >>> color_histogram_hsv(np.full((4, 4, 3), [0, 255, 0]), nbin=3)  # green
    array([0., 1., 0.])
    """
    images, one = _batch(im)
    sizes("im N H W 3", images)
    hues = xmax * rgb_to_hsv(images / xmax)[..., 0]
    counts = np.zeros((len(images), nbin))
    for row, hue in zip(counts, hues, strict=True):
        row[:] = np.histogram(hue, nbin, (xmin, xmax))[0]
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1) if normalized else 1
    return _as_given(counts / total, one, im)


def _batch(image):
    """Return floating-point images (N, H, W, C), and whether a single one was given."""
    images = np.asarray(image)
    if images.ndim not in (2, 3, 4):
        raise ValueError(f"image has shape {images.shape}; it is (H, W), (H, W, C) or (N, H, W, C)")
    if images.dtype != np.float32:
        images = images.astype(np.float64)
    one = images.ndim < 4
    if images.ndim == 2:
        images = images[..., None]
    return images[None] if one else images, one


def _as_given(features, one, image):
    """Return a row of features for each image, or only that row."""
    dtype = np.float32 if np.asarray(image).dtype == np.float32 else np.float64
    rows = features.reshape(len(features), math.prod(features.shape[1:])).astype(dtype)
    return rows[0] if one else rows


def _cells(strengths, degrees, orientations, pixels_per_cell):
    """Compute the mean strength of each cell by orientation: (N, rows, columns, orientations).

    Pixels beyond the last whole cell, and those with 180 degrees or more, count nothing.
    """
    height, width = pixels_per_cell
    rows, columns = strengths.shape[1] // height, strengths.shape[2] // width
    if not rows or not columns:
        raise ValueError(
            f"images of {strengths.shape[1:]} pixels are smaller than a cell of {pixels_per_cell}"
        )
    whole = np.s_[:, : rows * height, : columns * width]
    strengths, degrees = strengths[whole], degrees[whole]
    bins = np.clip((degrees * (orientations / 180)).astype(int), 0, orientations)
    n, i, j = np.ogrid[: len(strengths), : rows * height, : columns * width]
    cell = (n * rows + i // height) * columns + j // width
    shape = len(strengths), rows, columns, orientations + 1  # the last bin is left out
    places = (cell * shape[-1] + bins).ravel()
    sums = np.bincount(places, strengths.ravel(), math.prod(shape)).reshape(shape)
    return sums[..., :orientations] / (height * width)


def _normalized(blocks, norm):
    """Divide each block, the last three axes, by its norm."""
    tiny, axes = 1e-5, (-3, -2, -1)  # as scikit-image

    def by_l2(x):
        return x / np.sqrt((x**2).sum(axis=axes, keepdims=True) + tiny**2)

    if norm.startswith("L1"):
        shares = blocks / (blocks.sum(axis=axes, keepdims=True) + tiny)
        return np.sqrt(shares) if norm == "L1-sqrt" else shares
    return by_l2(np.minimum(by_l2(blocks), 0.2)) if norm == "L2-Hys" else by_l2(blocks)
