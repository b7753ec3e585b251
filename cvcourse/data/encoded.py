"""Images that stay JPEG or PNG until they are needed: folders and sets larger than memory."""

import contextlib
import copy
import os

import numpy as np
import tensorflow as tf

from cvcourse.data.dataset import DataError, reason


class EncodedImages:
    """A sequence of images of one shape, decoded when asked for: `images[i]`, `images[2:5]`.

    `files` are paths, or the encoded contents themselves, as n byte strings. An image of
    another size gives its largest centered part of those proportions, scaled. EXIF orientation
    and transparency are not applied.
    """

    def __init__(self, files, size, channels, *, in_memory=False):
        self.files = np.array(files, object)
        self.shape = (len(files), *size, channels)
        self.in_memory = in_memory
        self.interpolation, self.crop, self.rounded = "bilinear", True, True

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """Decoded images (h, w, c) or (n, h, w, c). Raises DataError naming a broken file."""
        if np.ndim(index) == 0 and not isinstance(index, slice):
            return self._decoded(int(index))
        return np.stack([self._decoded(i) for i in np.arange(len(self))[index]])

    def take(self, index):
        """The sequence of these images alone, still encoded."""
        chosen = copy.copy(self)
        chosen.files = self.files[index]
        chosen.shape = (len(chosen.files), *self.shape[1:])
        return chosen

    def resized(self, side, interpolation, *, crop=True):
        """The sequence with images of side x side pixels, float32 as the scaling leaves them.

        Without `crop`, an image of other proportions is squashed.
        """
        other = copy.copy(self)
        other.shape = (len(self), side, side, self.shape[3])
        other.interpolation, other.crop, other.rounded = interpolation, crop, False
        return other

    def decode(self, file):
        """A file's path or contents () -> image (h, w, c); a TensorFlow graph may call it.

        uint8, or float32 after `resized`.
        """
        contents = file if self.in_memory else tf.io.read_file(file)
        _, height, width, channels = self.shape
        image = tf.cond(
            tf.io.is_jpeg(contents),
            # The exact transform, which gives Pillow's pixels; the default is off by up to 70.
            lambda: tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_image(contents, channels, expand_animations=False),
        )
        if self.crop:
            image = _covering_part(image, height, width)
        image = _scaled(image, height, width, self.interpolation)
        image = _to_bytes(image) if self.rounded else tf.cast(image, tf.float32)
        return tf.ensure_shape(image, (height, width, channels))

    def _decoded(self, i):
        file = self.files[range(len(self))[i]]  # IndexError, which ends an iteration
        try:
            return self.decode(tf.constant(file)).numpy()
        except (tf.errors.OpError, ValueError) as error:
            name = f"image {i}" if self.in_memory else os.fsdecode(file)
            text = reason(error).split("}} ")[-1].split(" [Op:")[0]
            raise DataError(
                f"cannot read the image {name}: {text}; remove or replace it"
            ) from error


@contextlib.contextmanager
def naming_broken_images(dataset):
    """Inside, a failure of a stream's decoding becomes the DataError that names the broken file.

    TensorFlow does not say which file it was, so they are looked through, after the failure only.
    """
    try:
        yield
    except tf.errors.OpError:
        for split in filter(None, (dataset.train, dataset.validation, dataset.test)):
            if isinstance(split.images, EncodedImages):
                for i in range(len(split)):
                    split.images[i]
        raise


def _to_bytes(image):
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def _covering_part(image, height, width):
    """The largest centered part of height x width's proportions.

    Cropped before it is scaled: a strip of 1x9999 pixels must not become one of 256x2559744.
    """
    given = tf.shape(image)[:2]
    sides = tf.cast(given, tf.float32)
    scale = tf.reduce_max([height / sides[0], width / sides[1]])
    part = tf.cast(tf.round([height / scale, width / scale]), tf.int32)
    part = tf.clip_by_value(part, 1, given)
    top, left = tf.unstack((given - part) // 2)
    return image[top : top + part[0], left : left + part[1]]


def _scaled(image, height, width, interpolation):
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == (height, width)),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, (height, width), interpolation, antialias=True),
    )
