"""Augmentations of a batch of images, drawn from a counter and not from a random state.

A draw is a number in [0, 1) that depends only on (seed, epoch, example, number of the draw): an
epoch can be entered anywhere, and the batch size does not change how an example is augmented.
Mixing also changes labels, and takes a partner from the batch. All functions process whole batches,
in TensorFlow.

Crop and flip as in He et al. 2016, section 4.2; color as in torchvision's ColorJitter. Mixup: Zhang
et al. 2018, https://arxiv.org/abs/1710.09412. CutMix: Yun et al. 2019,
https://arxiv.org/abs/1905.04899.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from cvcourse.data.dataset import channel_statistics
from cvcourse.errors import RunError
from cvcourse.layers import Cutout, PCAColor

DRAWS = 18
SAMPLE = 2_000  # images: enough for the colors of a split
CIPHER_ROUNDS = 16  # at RandomIndexShuffle's default of 4 neighbors correlate by 0.3
COUNTERS = 2**31


def keys(seed, epoch):
    """Make keys of permutations for (seed, epoch): the shuffle's, then each draw's -> (n, 3).

    Keys are random, since the cipher uses only their lowest bits: 8 for up to 65,536 images, so
    that epochs 0 and 256, or such seeds, would otherwise be permuted equally.
    """
    # A larger number of keys does not change the first ones.
    shape = [1 + DRAWS, 3]
    return tf.random.stateless_uniform(shape, [seed, epoch], None, None, tf.int64, alg="philox")


def permuted(index, key, size):
    """Permute each `index` in [0, size) by the permutation of `key`, which is not stored."""

    def shuffled(index, last):
        last = tf.constant(last, tf.int64)
        return tf.raw_ops.RandomIndexShuffle(
            index=index, seed=key, max_index=last, rounds=CIPHER_ROUNDS
        )

    if (size - 1).bit_count() != 1:
        return shuffled(index, size - 1)
    # If the last index is 2^k, the kernel's blocks may lack a bit: permute one more index, and
    # where that is the result, replace it by its own image.
    surplus = tf.fill(tf.shape(index), tf.constant(size, tf.int64))
    found = shuffled(index, size)
    return tf.where(found == surplus, shuffled(surplus, size), found)


def uniform(seed, epoch, examples, draws):
    """Draw numbers in [0, 1) for examples (n,) and draws (k,) -> (n, k) float32.

    They are a permutation of 2^31 counters, keyed by (seed, epoch, draw): a block cipher in counter
    mode.
    """
    index = tf.repeat(examples, len(draws))
    key = tf.tile(tf.gather(keys(seed, epoch), draws), [tf.size(examples), 1])
    numbers = tf.cast(permuted(index, key, COUNTERS), tf.float32) / COUNTERS
    return tf.reshape(tf.minimum(numbers, 1 - 2.0**-24), [-1, len(draws)])


def crop(images, draws):
    """Pad by an eighth of the side (4 pixels at 32) with black, and crop at random."""
    height, width = images.shape[1:3]
    top, left = max(1, height // 8), max(1, width // 8)
    images = tf.pad(images, [[0, 0], [top, top], [left, left], [0, 0]])
    return _windows(images, draws, height, width)


def shift(images, draws):
    """Shift by up to a sixteenth of the side (2 pixels at 32), repeating the border."""
    height, width = images.shape[1:3]
    y = (draws[:, 0] * 2 - 1) * max(1, height // 16)
    x = (draws[:, 1] * 2 - 1) * max(1, width // 16)
    one, zero = tf.ones_like(x), tf.zeros_like(x)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([one, zero, x, zero, one, y, zero, zero], axis=1),
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    return tf.ensure_shape(moved, images.shape)


def flip(images, draws):
    """Flip horizontally, with probability 1/2."""
    mirrored = draws[:, 0] < 0.5
    return tf.where(mirrored[:, None, None, None], tf.reverse(images, axis=[2]), images)


def color(images, draws):
    """Multiply brightness, contrast and saturation by 0.6 to 1.4 each, within 0..255."""
    brightness, contrast, saturation = tf.unstack(
        (0.6 + 0.8 * draws)[:, :, None, None, None], axis=1
    )
    images = tf.clip_by_value(tf.cast(images, tf.float32) * brightness, 0, 255)
    mean = tf.reduce_mean(_gray(images), axis=(1, 2, 3), keepdims=True)
    images = tf.clip_by_value(mean + (images - mean) * contrast, 0, 255)
    gray = _gray(images)
    return tf.clip_by_value(gray + (images - gray) * saturation, 0, 255)


def pca_color(split):
    """Make AlexNet's noise along the principal components of the split's colors."""
    layer = PCAColor()
    layer.adapt(split.images[:])
    return lambda images, draws: layer.transform_images(images, draws[:, : images.shape[-1]])


def cutout(split):
    """Make Cutout: a square of the split's mean color, half as wide as the image."""
    mean, _ = channel_statistics(split)
    layer = Cutout(max(1, min(split.images.shape[1:3]) // 2), fill=mean)
    return layer.transform_images


# name: (function, the numbers of its draws; 0 is the shuffle's), in the order of application
AUGMENTATIONS = {
    "crop": (crop, (1, 2)),
    "shift": (shift, (3, 4)),
    "flip": (flip, (5,)),
    "color": (color, (6, 7, 8)),
    "pca_color": (pca_color, (9, 10, 11)),
    "cutout": (cutout, (12, 13)),
}
FITTED = ("pca_color", "cutout")  # functions of a split that make the augmentation


def fitted(names, split):
    """Return the named augmentations for a split, in order, for `augmented`.

    Raises RunError for FITTED ones, which use Keras' operations, on backends other than TensorFlow.
    """
    functions = []
    for name, (function, draws) in AUGMENTATIONS.items():
        if name not in names:
            continue
        if name in FITTED:
            if keras.backend.backend() != "tensorflow":
                raise RunError(f"--augment={name} needs KERAS_BACKEND=tensorflow")
            few = np.unique(np.linspace(0, len(split) - 1, SAMPLE).astype(int))
            function = function(split.take(few))
        functions.append((function, draws))
    return functions


def augmented(images, augmentations, *, seed, epoch, examples):
    """Apply augmentations to a batch: (n, h, w, c) -> (n, h, w, c), uint8 or float32."""
    for function, draws in augmentations:
        images = function(images, uniform(seed, epoch, examples, draws))
    return images


def mixup(images, labels, draws):
    """Average two examples and their labels with a random weight; alpha = 1, as for CIFAR."""
    how = {"mix_weight": draws[:, 0], "permutation_order": _partners(images)}
    return _by_keras(keras.layers.MixUp, images, labels, how)


def cutmix(images, labels, draws):
    """Paste a rectangle of another example and mix labels by area: equations 1 and 2, alpha = 1.

    Each example draws its own rectangle, centered anywhere and clipped at the border.
    """
    sides = [float(side) for side in images.shape[1:3]]
    half = tf.sqrt(1 - draws[:, :1]) / 2
    edges = (draws[:, 1:] - half, draws[:, 1:] + half)
    begin, end = (tf.round(tf.clip_by_value(edge, 0, 1) * sides) for edge in edges)
    rows, columns = (
        (begin[:, i, None] <= tf.range(side)) & (tf.range(side) < end[:, i, None])
        for i, side in enumerate(sides)
    )
    how = {
        "batch_masks": rows[:, :, None, None] & columns[:, None, :, None],
        "mix_weight": 1 - tf.reduce_prod((end - begin) / sides, axis=1),
        "permutation_order": _partners(images),
    }
    return _by_keras(keras.layers.CutMix, images, labels, how)


MIXTURES = {"mixup": (mixup, (14,)), "cutmix": (cutmix, (15, 16, 17))}
COIN = (18,)


def mixed(images, labels, names, *, seed, epoch, examples):
    """Mix a batch; if there are several names, each batch draws one of them.

    Shapes: images (n, h, w, c) and one-hot labels (n, classes), both float32, do not change.
    """

    def mix(function, draws):
        return function(images, labels, uniform(seed, epoch, examples, draws))

    ways = [functools.partial(mix, *MIXTURES[name]) for name in MIXTURES if name in names]
    if not ways:
        return images, labels
    coin = uniform(seed, epoch, examples[:1], COIN)[0, 0]
    return tf.switch_case(tf.cast(coin * len(ways), tf.int32), ways)


def _partners(images):
    """Return the partners for mixing: the next example, since the order of a batch is random."""
    return tf.roll(tf.range(tf.shape(images)[0]), -1, axis=0)


def _by_keras(kind, images, labels, how):
    """Apply Keras' layer to images and labels, with our draws."""
    layer = _layer(kind)
    return layer.transform_images(images, how), layer.transform_labels(labels, how)


@functools.cache
def _layer(kind):
    with tf.init_scope():  # its seed, which is not used, is a variable
        layer = kind(dtype="float32")
    layer.backend.set_backend("tensorflow")  # tf.data's, also if another backend trains
    return layer


def _gray(images):
    if images.shape[-1] == 1:
        return images
    return tf.tensordot(images, tf.constant([[0.299], [0.587], [0.114]]), 1)  # ITU-R BT.601


def _windows(images, draws, height, width):
    """Crop a height x width window of each image, at the position of its two draws."""
    starts = [
        tf.cast(draws[:, i] * float(images.shape[i + 1] - side + 1), tf.int32)
        for i, side in enumerate((height, width))
    ]
    rows = starts[0][:, None] + tf.range(height)
    columns = starts[1][:, None] + tf.range(width)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)
