"""Images that are decoded when they are read: folders, and datasets larger than memory."""

import contextlib
import copy
import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf

from cvcourse.data.dataset import Split, describe_images
from cvcourse.data.photo import BY_PILLOW, decode, naming_image, to_size, to_size_exactly
from cvcourse.startup import standard_error_closed

FEW = 32  # images that are decoded faster one by one than by a new graph


class EncodedImages:
    """A sequence of images of one shape, decoded when read: `images[i]`, `images[2:5]`.

    The largest centered part of the aspect ratio of `size` is cropped from an image and scaled.

    Args:
        files: n byte strings: paths, or with `in_memory` the encoded images themselves.
        routes: Routes (n,) of the images' `Header`s.
        size: Height and width of the decoded images.
        channels: 3 for RGB, 1 for gray.
        in_memory: Whether `files` are encoded images.
    """

    def __init__(self, files, routes, size, channels, *, in_memory=False):
        self.files = np.array(files, object)
        self.routes = np.array(routes, "uint8")
        self.shape = (len(files), *size, channels)
        self.in_memory = in_memory
        self.interpolation, self.crop, self.rounded = "bilinear", True, True

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"EncodedImages({describe_images(self)})"

    @property
    def dtype(self):
        """Type of the decoded images: float32 after `resized`, else uint8."""
        return np.dtype("uint8" if self.rounded else "float32")

    def __getitem__(self, index):
        """Decode images: (h, w, c) or (n, h, w, c). Raises DataError that names a damaged file."""
        if np.ndim(index) == 0 and not isinstance(index, slice):
            return self._decoded(int(index))
        chosen = np.arange(len(self))[index]
        if len(chosen) > FEW:
            with contextlib.suppress(tf.errors.OpError), standard_error_closed():
                return self._decoded_in_parallel(chosen)
        return np.stack([self._decoded(i) for i in chosen])

    def take(self, index):
        """Return a sequence of some images, still encoded."""
        chosen = copy.copy(self)
        chosen.files, chosen.routes = self.files[index], self.routes[index]
        chosen.shape = (len(chosen.files), *self.shape[1:])
        return chosen

    def resized(self, side, interpolation, *, crop=True):
        """Return the sequence with images of side x side pixels, float32 and not rounded.

        If `crop` is False, an image of another aspect ratio is squashed.
        """
        other = copy.copy(self)
        other.shape = (len(self), side, side, self.shape[3])
        other.interpolation, other.crop, other.rounded = interpolation, crop, False
        return other

    def to_shape(self, height, width, channels):
        """Return the sequence with images of another shape, each as `read_photo` reads it."""
        other = copy.copy(self)
        other.shape = (len(self), height, width, channels)
        other.interpolation, other.crop, other.rounded = "bilinear", True, True
        if channels < self.shape[3]:  # only Pillow converts colors to gray
            other.routes = np.full_like(self.routes, BY_PILLOW)
        return other

    def joined(self, others):
        """Return the concatenation with other sequences of the same shape."""
        files = np.concatenate([one.files for one in (self, *others)])
        routes = np.concatenate([one.routes for one in (self, *others)])
        joined = copy.copy(self)
        joined.files, joined.routes, joined.shape = files, routes, (len(files), *self.shape[1:])
        return joined

    def decode(self, file, route):
        """Decode one image; works inside graphs.

        Shapes: path or contents () and route () -> image (h, w, c) of type `dtype`.
        """
        contents = file if self.in_memory else tf.io.read_file(file)
        _, height, width, channels = self.shape
        if (self.routes == self.routes[0]).all():
            route = int(self.routes[0])  # a constant, so that the graph has no branches
        image = decode(contents, route, channels)
        scaled = to_size if self.rounded else to_size_exactly
        image = scaled(image, height, width, self.interpolation, crop=self.crop)
        return tf.ensure_shape(image, (height, width, channels))

    def _decoded_in_parallel(self, chosen):
        """Decode images (n, h, w, c) ten times as fast; errors do not name the file."""
        files = tf.data.Dataset.from_tensor_slices((list(self.files[chosen]), self.routes[chosen]))
        images = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        decoded = files.map(self.decode, tf.data.AUTOTUNE).as_numpy_iterator()
        for place, image in enumerate(decoded):
            images[place] = image
        return images

    def _decoded(self, i):
        i = range(len(self))[i]  # raises IndexError, which ends an iteration
        with naming_image(f"image {i}" if self.in_memory else os.fsdecode(self.files[i])):
            return self.decode(tf.constant(self.files[i]), int(self.routes[i])).numpy()


UPRIGHT = 1  # the route of a plain PNG


def to_shape(split: Split, height: int, width: int, channels: int) -> Split:
    """Convert a split's images to another shape, as `read_photo` does when it reads a file.

    Args:
        split: Split of images (n, h, w, c); the pixels of an array are rounded.
        height: Height in pixels.
        width: Width in pixels; the largest centered part of that aspect ratio is scaled.
        channels: 3 for RGB, 1 for gray.

    Returns:
        A Split of images (n, height, width, channels), decoded when read.

    >>> from cvcourse import data
    >>> to_shape(data.load("digits").test, 32, 32, 3)
    Split(360 images of 32x32x3 uint8, encoded in memory, labels 0 to 9)
    """
    images: Any = split.images
    if images.shape[1:] == (height, width, channels):
        return split
    if isinstance(images, np.ndarray):
        pixels = np.clip(np.round(images), 0, 255).astype("uint8")
        files = [tf.io.encode_png(image).numpy() for image in pixels]
        routes = [UPRIGHT] * len(files)
        images = EncodedImages(files, routes, images.shape[1:3], images.shape[3], in_memory=True)
    return dataclasses.replace(split, images=images.to_shape(height, width, channels))


@contextlib.contextmanager
def report_corrupt_images(dataset):
    """Context manager: raise a stream's decoding error as a DataError that names the file.

    TensorFlow does not name the file, so after a failure all files are decoded until one fails.
    """
    try:
        yield
    except tf.errors.OpError:
        for split in filter(None, (dataset.train, dataset.validation, dataset.test)):
            if isinstance(split.images, EncodedImages):
                for i in range(len(split)):
                    split.images[i]
        raise
