"""Mean and covariance of a training split in float64, computed in parts."""

import numpy as np

AT_ONCE = 2**23  # numbers: 64 MiB of float64


def mean(images, width):
    """Compute the mean of all rows of `width` numbers of images (n, …): (width,)."""
    totals = [rows.sum(axis=0) for rows in _parts(images, width)]
    return np.sum(totals, axis=0) * width / np.prod(images.shape, dtype="float64")


def covariance(images, mean):
    """Compute the covariance X'X / N of the N rows of the images, less `mean` (width,)."""
    width = len(mean)
    total = np.zeros((width, width))
    for rows in _parts(images, width):
        rows -= mean
        total += rows.T @ rows
    return total * width / np.prod(images.shape, dtype="float64")


def _parts(images, width):
    """Yield rows of `width` numbers, a part of the images at a time: slicing may decode files."""
    step = max(1, AT_ONCE // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        yield np.array(images[start : start + step], "float64").reshape(-1, width)
