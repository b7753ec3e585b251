"""Images that stay JPEG or PNG until they are needed: folders and sets larger than memory."""

import contextlib

import numpy as np
import tensorflow as tf

from cvcourse.data.dataset import DataError


class EncodedImages:
    """A sequence of images of one shape, decoded when asked for: `images[i]`, `images[2:5]`.

    `files` is a string tensor (n,) of paths, or of the encoded contents themselves. An image of
    another size is scaled to cover (height, width) and its center cropped.
    """

    def __init__(self, files, size, channels, *, in_memory=False):
        self.files = tf.constant(files, tf.string)
        self.shape = (len(files), *size, channels)
        self.in_memory = in_memory

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """Decoded images (h, w, c) or (n, h, w, c) uint8. Raises DataError naming a broken file."""
        if np.ndim(index) == 0 and not isinstance(index, slice):
            return self._decoded(int(index))
        return np.stack([self._decoded(i) for i in np.arange(len(self))[index]])

    def take(self, index):
        """The sequence of these images alone, still encoded."""
        files = self.files.numpy()[index]
        return EncodedImages(files, self.shape[1:3], self.shape[3], in_memory=self.in_memory)

    def decode(self, file):
        """A file's path or contents () -> image (h, w, c) uint8; a TensorFlow graph may call it."""
        contents = file if self.in_memory else tf.io.read_file(file)
        _, height, width, channels = self.shape
        image = tf.io.decode_image(contents, channels, expand_animations=False)
        image = _cover(image, height, width)
        return tf.ensure_shape(image, (height, width, channels))

    def _decoded(self, i):
        try:
            return self.decode(self.files[i]).numpy()
        except (tf.errors.OpError, ValueError) as error:
            name = f"image {i}" if self.in_memory else self.files[i].numpy().decode()
            reason = str(error).split("} ")[-1].split(" [Op:")[0]
            raise DataError(f"cannot read the image {name}: {reason}; remove or replace it") from error


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


def _cover(image, height, width):
    """Scale so that the image covers height x width, crop the center: uint8 -> uint8."""
    given = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_max([height / given[0], width / given[1]])
    size = tf.maximum(tf.cast(tf.round(given * scale), tf.int32), [height, width])

    def resized():
        scaled = tf.image.resize(image, size, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)

    same = tf.reduce_all(tf.equal(size, tf.shape(image)[:2]))
    image = tf.cond(same, lambda: image, resized)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return image[top : top + height, left : left + width]
