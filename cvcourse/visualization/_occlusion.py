"""Occlusion: the probability of a class while a patch covers one place of the image after another.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1311.2901, section 4.2.
"""

import itertools
import numbers
from typing import Any

import keras
import numpy as np

from cvcourse.visualization.network import Network, check_count, require_numbers, warn_of_zeros
from cvcourse.visualization.windows import windows


def occlusion(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    patch: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 8,
    fill: Any = 0.0,
    batch_size: int = 25,
    output: str | None = None,
) -> np.ndarray:
    """Compute the probability of a class with a patch at each place of a grid.

    Patches begin at pixel 0, stride, 2 * stride and so on, up to the first that reaches the end of
    the image, where it is cut off: ceil((side - patch) / stride) + 1 places along a side.

    Args:
        model: keras.Model from images to logits or probabilities, which it does not change.
        images: Array (n, h, w, c), in the range that the model takes.
        classes: Class number for all images, or one an image. If None, the likeliest class of each.
        patch: Side of the patch in pixels, or a pair (rows, columns).
        stride: Distance from a patch to the next in pixels, or a pair (rows, columns).
        fill: Value of the covered pixels: a number, one for each channel (c,), or an image
            (h, w, c) that shows through.
        batch_size: Number of covered images computed at once.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        Probabilities (n, rows, columns) float32. They are low where the patch covers evidence of
        the class; `to_pixels` makes maps of the images' size.

    Raises:
        ValueError: If the images do not fit the model, there is no such class, or the patch is
            larger than the images.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> image = np.log([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
    >>> occlusion(model, image, 3, patch=1, stride=1).round(3)
    array([[[0.4  , 0.444],
            [0.5  , 0.143]]], dtype=float32)
    """
    network = Network.of(model, output)
    network.require_maps("occlusion")
    network.require_classes()
    images = network.images(images)
    height, width = _pair("patch", patch)
    grid = _grid(images.shape[1:3], (height, width), _pair("stride", stride))
    fill = _filling(fill, images.shape[1:])
    check_count("batch_size", batch_size)
    chosen = network.targets(images, classes)

    places = np.array([*itertools.product(range(len(images)), *grid)])
    found = []
    local = windows(network, images.shape[1:3], (height, width))
    known: dict[int, np.ndarray] = {}  # maps of the images of a batch
    for batch in np.array_split(places, -(-len(places) // batch_size)):
        which, corners = batch[:, 0], batch[:, 1:]
        if local is None:
            covered = images[which]
            for image, (row, column) in zip(covered, corners, strict=True):
                window = np.s_[row : row + height, column : column + width]
                image[window] = fill[window]
            logits = network.predict(covered, batch_size)
        else:
            known = {
                i: known[i] if i in known else local.maps(images[i : i + 1])[0]
                for i in dict.fromkeys(which.tolist())
            }
            maps = np.stack([known[i] for i in which])
            covered = local.covered(images[which], maps, corners, (height, width), fill)
            logits = require_numbers(local.logits(covered), f"{network.name}: the output")
        found.append(network.of_classes(logits, chosen[which]))
    return np.concatenate(found).reshape(len(images), *map(len, grid))


def to_pixels(
    grid: Any,
    image_size: tuple[int, int],
    *,
    clear: Any,
    patch: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 8,
) -> np.ndarray:
    """Turn the probabilities of `occlusion` into maps of pixels.

    A pixel has the mean drop of the probability under the patches that cover it, as in the
    attributions of Captum,
    https://github.com/pytorch/captum/blob/master/captum/attr/_core/occlusion.py.

    Args:
        grid: Probabilities (n, rows, columns), as `occlusion` returns them.
        image_size: Height and width of the images in pixels.
        clear: Probability of the class without a patch, one for all images or (n,).
        patch: As in `occlusion`.
        stride: As in `occlusion`.

    Returns:
        Maps (n, h, w) float32, positive where the image has evidence of the class.

    Raises:
        ValueError: If the grid has another size, or there are pixels that no patch covers.

    >>> to_pixels([[[0.4, 0.3, 0.0]]], (1, 4), clear=0.4, patch=(1, 2), stride=1)
    array([[[0.  , 0.05, 0.25, 0.4 ]]], dtype=float32)
    """
    image_size, window = _pair("image_size", image_size), _pair("patch", patch)
    starts = _grid(image_size, window, _pair("stride", stride))
    grid = np.asarray(grid, "float64")
    expected = tuple(map(len, starts))
    if grid.ndim != 3 or grid.shape[1:] != expected:
        raise ValueError(
            f"patches of {patch} pixels at a stride of {stride} make a grid (n, "
            f"{', '.join(map(str, expected))}) of images of {image_size} pixels; received "
            f"{grid.shape}"
        )
    clear = np.asarray(clear, "float64")
    if clear.shape not in ((), (len(grid),)):
        raise ValueError(f"clear is a number or an array ({len(grid)},); received {clear.shape}")
    rows, columns = (
        _mean_of_covering(*side) for side in zip(image_size, starts, window, strict=True)
    )
    maps = rows.T @ (clear.reshape(-1, 1, 1) - grid) @ columns
    return warn_of_zeros(maps.astype("float32"), "occlusion")


def _mean_of_covering(side, starts, patch):
    """Return weights (places, pixels): each pixel's mean over the places that cover it."""
    pixels = np.arange(side)
    covers = (starts[:, None] <= pixels) & (pixels < starts[:, None] + patch)
    if not covers.any(axis=0).all():
        stride = starts[1] - starts[0]
        raise ValueError(
            f"patches of {patch} pixels at a stride of {stride} leave pixels out: use a stride of "
            f"at most {patch}"
        )
    return covers / covers.sum(axis=0)


def _grid(image_size, patch, stride):
    """Return the first row and the first column of the patches, as arrays."""
    if any(n > side for n, side in zip(patch, image_size, strict=True)):
        raise ValueError(
            f"the patch of {patch[0]} x {patch[1]} pixels is larger than the image of "
            f"{image_size[0]} x {image_size[1]} pixels"
        )
    sides = zip(image_size, patch, stride, strict=True)
    return [np.arange(0, side - n + step, step) for side, n, step in sides]


def _pair(name, value):
    """Return (rows, columns) of a positive integer or a pair of them."""
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, numbers.Integral) and n >= 1 for n in pair):
        raise ValueError(
            f"{name} is a number of pixels of at least 1, or a pair (rows, columns); received "
            f"{value!r}"
        )
    return pair


def _filling(fill, shape):
    """Return the image (h, w, c) that shows through the patches."""
    found = np.asarray(fill)
    fits = found.shape in ((), shape[2:], shape)
    if not fits or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        received = repr(fill) if found.size <= 8 else f"{found.dtype} {found.shape}"
        raise ValueError(
            f"fill is a finite number, one for each of the {shape[2]} channels, or an image "
            f"{shape}; received {received}"
        )
    return np.broadcast_to(found.astype("float32"), shape)
