"""Label-preserving changes to a batch of images, each drawn from a counter and not from a state.

Every draw is a number in [0, 1) that depends on (seed, epoch, example, which draw) alone, so an
epoch can be entered anywhere and an example is augmented alike in a batch of any size. Whole
batches at a time, in TensorFlow.

Crop and flip as in He et al. 2016, section 4.2; color as in torchvision's ColorJitter.
"""

import tensorflow as tf

CIPHER_ROUNDS = 16  # at RandomIndexShuffle's default of 4 neighbors correlate by 0.3
COUNTERS = 2**31


def keys(seed, epoch):
    """Keys of permutations for (seed, epoch): the shuffle's, then one for each draw -> (9, 3).

    Mixed, since the cipher heeds the lowest bits of a key only: 8 for a set of up to 65,536 images,
    where the epochs 0 and 256, or the seeds, would otherwise be alike.
    """
    return tf.random.stateless_uniform([9, 3], [seed, epoch], None, None, tf.int64, alg="philox")


def permuted(index, key, size):
    """Each `index` in [0, size) under a permutation that `key` alone decides, without memory."""

    def shuffled(index, last):
        last = tf.constant(last, tf.int64)
        return tf.raw_ops.RandomIndexShuffle(
            index=index, seed=key, max_index=last, rounds=CIPHER_ROUNDS
        )

    if (size - 1).bit_count() != 1:
        return shuffled(index, size - 1)
    # For a last index of 2^k the kernel's blocks may lack a bit: permute one index more, and
    # where that one comes out, take what it is permuted to.
    surplus = tf.fill(tf.shape(index), tf.constant(size, tf.int64))
    found = shuffled(index, size)
    return tf.where(found == surplus, shuffled(surplus, size), found)


def uniform(seed, epoch, examples, draws):
    """Numbers in [0, 1) for examples (n,) and draws (k,) -> (n, k) float32.

    A permutation of 2^31 counters, keyed by (seed, epoch, draw): a block cipher in counter mode.
    """
    index = tf.repeat(examples, len(draws))
    key = tf.tile(tf.gather(keys(seed, epoch), draws), [tf.size(examples), 1])
    numbers = tf.cast(permuted(index, key, COUNTERS), tf.float32) / COUNTERS
    return tf.reshape(tf.minimum(numbers, 1 - 2.0**-24), [-1, len(draws)])


def crop(images, draws):
    """Pad by an eighth of the side (4 pixels at 32) with black, and crop back at random."""
    height, width = images.shape[1:3]
    top, left = max(1, height // 8), max(1, width // 8)
    images = tf.pad(images, [[0, 0], [top, top], [left, left], [0, 0]])
    return _windows(images, draws, height, width)


def shift(images, draws):
    """Shift by up to a sixteenth of the side (2 pixels at 32) each way, repeating the border."""
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
    """Mirror left and right, every second image."""
    mirrored = draws[:, 0] < 0.5
    return tf.where(mirrored[:, None, None, None], tf.reverse(images, axis=[2]), images)


def color(images, draws):
    """Brightness, contrast and saturation, each times 0.6 to 1.4, in 0..255."""
    brightness, contrast, saturation = tf.unstack(
        (0.6 + 0.8 * draws)[:, :, None, None, None], axis=1
    )
    images = tf.clip_by_value(tf.cast(images, tf.float32) * brightness, 0, 255)
    mean = tf.reduce_mean(_gray(images), axis=(1, 2, 3), keepdims=True)
    images = tf.clip_by_value(mean + (images - mean) * contrast, 0, 255)
    gray = _gray(images)
    return tf.clip_by_value(gray + (images - gray) * saturation, 0, 255)


# name: (function, the numbers of its draws; 0 is the shuffle's). Applied in this order.
AUGMENTATIONS = {
    "crop": (crop, (1, 2)),
    "shift": (shift, (3, 4)),
    "flip": (flip, (5,)),
    "color": (color, (6, 7, 8)),
}


def augmented(images, names, *, seed, epoch, examples):
    """The batch after the named augmentations: (n, h, w, c) -> the same, uint8 or float32."""
    for name, (function, draws) in AUGMENTATIONS.items():
        if name in names:
            images = function(images, uniform(seed, epoch, examples, draws))
    return images


def _gray(images):
    if images.shape[-1] == 1:
        return images
    return tf.tensordot(images, tf.constant([[0.299], [0.587], [0.114]]), 1)  # ITU-R BT.601


def _windows(images, draws, height, width):
    """A height x width window of each image, at the place its two draws say."""
    starts = [
        tf.cast(draws[:, i] * float(images.shape[i + 1] - side + 1), tf.int32)
        for i, side in enumerate((height, width))
    ]
    rows = starts[0][:, None] + tf.range(height)
    columns = starts[1][:, None] + tf.range(width)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)
