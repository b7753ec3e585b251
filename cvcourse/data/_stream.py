"""Deterministic tf.data stream: batch i is a function of (seed, start_step + i) alone.

A run that stopped at any step continues with the stream from that step; nothing is replayed.
"""

from collections.abc import Sequence

import tensorflow as tf

from cvcourse.data.augmentation import (
    AUGMENTATIONS,
    MIXTURES,
    augmented,
    fitted,
    keys,
    mixed,
    permuted,
)
from cvcourse.data.dataset import Split
from cvcourse.data.encoded import EncodedImages
from cvcourse.errors import unknown


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Count the full batches of an epoch.

    Args:
        split: The training split.
        batch_size: Number of examples in a batch.

    Returns:
        Number of batches; examples that do not fill a batch are dropped.

    >>> from cvcourse import data
    >>> data.steps_per_epoch(data.load("digits").train, 100)
    12
    """
    return len(split) // batch_size


def stream(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    shuffle: bool = True,
    augment: Sequence[str] = (),
    one_hot: int | None = None,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Stream the batches of a split, from any step on.

    With `shuffle` (training) the stream has no end: each epoch is a new permutation, whose last
    incomplete batch is dropped. Without (evaluation) it is one pass in order, whose last batch is
    padded with examples of weight 0.

    Args:
        split: The split.
        batch_size: Number of examples in a batch.
        seed: Seed of shuffling and augmentation.
        start_step: Number of the first batch.
        shuffle: True for training, False for evaluation.
        augment: Names of `AUGMENTATIONS` and, for one-hot labels, `MIXTURES`.
        one_hot: Number of classes for one-hot labels; None for class numbers.
        shard: (index, count) of this worker among several: it receives the index-th part of every
            batch; concatenated in order, the parts are the batch.

    Returns:
        A tf.data.Dataset of (images, labels), without `shuffle` of (images, labels, weights):
        images (batch_size, h, w, c) float32 of 0..255; labels (batch_size,) int32, or
        (batch_size, one_hot) float32; weights (batch_size,) float32.

    Raises:
        ValueError: If an augmentation is unknown, labels cannot be mixed, the training split is
            smaller than a batch, or the shards do not divide a batch.

    >>> from cvcourse import data
    >>> batches = data.stream(data.load("digits").train, batch_size=32, seed=0, augment=("shift",))
    >>> images, labels = next(iter(batches))
    >>> images.shape, labels.shape
    (TensorShape([32, 8, 8, 1]), TensorShape([32]))
    """
    which, shards = shard
    if not 0 <= which < shards or batch_size % shards:
        raise ValueError(f"batch_size={batch_size} cannot be divided for shard={shard}")
    for name in augment:
        if name not in AUGMENTATIONS | MIXTURES:
            raise ValueError(unknown("augmentation", name, AUGMENTATIONS | MIXTURES))
        if name in MIXTURES and not one_hot:
            raise ValueError(f"{name} mixes labels: set one_hot to the number of classes")
    n = len(split)
    if shuffle and n < batch_size:
        raise ValueError(f"batch_size={batch_size} exceeds the {n} training images: lower it")
    part = slice(which * batch_size // shards, (which + 1) * batch_size // shards)
    made, cut = part, None
    if shards > 1 and {*augment} & {*MIXTURES}:
        # Mixing needs partners from the whole batch: make all of it, and cut it at the end.
        made, cut = slice(0, batch_size), part
    made_size = made.stop - made.start
    seed = tf.constant(seed, tf.int64)
    # On the host, where tf.data runs.
    with tf.device("CPU:0"):
        labels = tf.constant(split.labels)
        images = tf.constant(split.images.files if _encoded(split) else split.images)
        routes = tf.constant(split.images.routes) if _encoded(split) else None
        augmentations = fitted(augment, split)

    def examples_of(step):
        """Step () -> its epoch (), the examples' indices and weights (made_size,)."""
        rows = tf.range(made.start, made.stop, dtype=tf.int64)
        if not shuffle:
            position = step * batch_size + rows
            weights = tf.cast(position < n, tf.float32)
            return tf.constant(0, tf.int64), tf.minimum(position, n - 1), weights
        epoch, step = step // (n // batch_size), step % (n // batch_size)
        shuffled = permuted(step * batch_size + rows, keys(seed, epoch)[0], n)
        return epoch, shuffled, tf.ones([made_size])

    def finish(epoch, examples, weights, images):
        """Augment, cast and mix the whole batch."""
        drawn = dict(seed=seed, epoch=epoch, examples=examples)
        images = tf.cast(augmented(images, augmentations, **drawn), tf.float32)
        answers = tf.gather(labels, examples)
        if one_hot:
            answers = tf.one_hot(answers, one_hot)
        batch = mixed(images, answers, augment, **drawn)
        batch = batch if shuffle else (*batch, weights)
        return tuple(values[cut] for values in batch) if cut else batch

    def from_memory(step):
        epoch, examples, weights = examples_of(step)
        return finish(epoch, examples, weights, tf.gather(images, examples))

    def repeat_epoch(step):
        epoch, examples, weights = examples_of(step)
        return tf.fill([made_size], epoch), examples, weights

    def decode(epoch, example, weight):
        image = split.images.decode(tf.gather(images, example), tf.gather(routes, example))
        return epoch, example, weight, image

    def from_files(epoch, examples, weights, images):
        return finish(epoch[0], examples, weights, images)

    steps = steps_from(start_step, None if shuffle else -(-n // batch_size))
    parallel = tf.data.AUTOTUNE
    if not _encoded(split):
        return steps.map(from_memory, parallel).prefetch(parallel)
    decoded = (
        steps.map(repeat_epoch, parallel)
        .unbatch()
        .map(decode, parallel)
        .batch(made_size, drop_remainder=True)
    )
    return decoded.map(from_files, parallel).prefetch(parallel)


def steps_from(start_step, end=None):
    """Return a tf.data.Dataset of step numbers, up to `end` or without end."""
    options = tf.data.Options()
    options.deterministic = True
    # Its thread sleeps for 2.56 s or more at a time, and an iterator that ends waits for it.
    options.autotune.enabled = False
    whole = tf.data.Dataset
    steps = whole.counter(start_step) if end is None else whole.range(start_step, end)
    return steps.with_options(options)


def _encoded(split):
    return isinstance(split.images, EncodedImages)
