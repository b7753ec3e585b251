"""One deterministic tf.data stream: batch i is a function of (seed, start_step + i) alone.

A run that stopped anywhere goes on by asking for the stream from its step; nothing is replayed.
"""

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
from cvcourse.data.encoded import EncodedImages
from cvcourse.errors import unknown


def steps_per_epoch(split, batch_size):
    """How many full batches one pass over a training split has."""
    return len(split) // batch_size


def stream(
    split,
    *,
    batch_size,
    seed,
    start_step=0,
    shuffle=True,
    augment=(),
    one_hot=None,
    shard=(0, 1),
):
    """Batches of a `Split` from batch `start_step` on, as a tf.data.Dataset.

    With `shuffle` (training) it never ends: epoch after epoch, each a new permutation whose last
    incomplete batch is dropped, as (images, labels). Without (evaluation) it is one pass in order,
    as (images, labels, weights); the last batch is filled up with examples of weight 0.

    Shapes: images (batch_size, h, w, c) float32 in 0..255, labels (batch_size,) int32 or, with
    `one_hot` classes, (batch_size, one_hot) float32, weights (batch_size,) float32. `augment` names
    augmentations of `AUGMENTATIONS` and, for one-hot labels, `MIXTURES`. Of several workers, each
    takes its `shard` (which, of how many): the which-th part of every batch, so that the parts in
    order are the batch. Raises ValueError for an unknown augmentation, for labels that cannot be
    mixed, for a training split smaller than a batch, and for a batch that shards do not divide.
    """
    which, shards = shard
    if not 0 <= which < shards or batch_size % shards:
        raise ValueError(f"batch_size={batch_size} cannot be cut for shard={shard}")
    for name in augment:
        if name not in AUGMENTATIONS | MIXTURES:
            raise ValueError(unknown("augmentation", name, AUGMENTATIONS | MIXTURES))
        if name in MIXTURES and not one_hot:
            raise ValueError(f"{name} mixes labels: one_hot takes the number of classes")
    n = len(split)
    if shuffle and n < batch_size:
        raise ValueError(f"batch_size={batch_size} exceeds the {n} training images: lower it")
    part = slice(which * batch_size // shards, (which + 1) * batch_size // shards)
    made, cut = part, None
    if shards > 1 and {*augment} & {*MIXTURES}:
        # What is mixed comes from anywhere in the batch: all of it is made, and cut at the end.
        made, cut = slice(0, batch_size), part
    made_size = made.stop - made.start
    seed = tf.constant(seed, tf.int64)
    # On the host, whatever device trains: tf.data runs there.
    with tf.device("CPU:0"):
        labels = tf.constant(split.labels)
        images = tf.constant(split.images.files if _encoded(split) else split.images)
        routes = tf.constant(split.images.routes) if _encoded(split) else None
        augmentations = fitted(augment, split)

    def examples_of(step):
        """Step () -> its epoch, the examples' numbers and their weights (made_size,)."""
        rows = tf.range(made.start, made.stop, dtype=tf.int64)
        if not shuffle:
            position = step * batch_size + rows
            weights = tf.cast(position < n, tf.float32)
            return tf.constant(0, tf.int64), tf.minimum(position, n - 1), weights
        epoch, step = step // (n // batch_size), step % (n // batch_size)
        shuffled = permuted(step * batch_size + rows, keys(seed, epoch)[0], n)
        return epoch, shuffled, tf.ones([made_size])

    def finish(epoch, examples, weights, images):
        """Augment, cast and mix: everything that works on the whole batch."""
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

    def decode(epoch, example, weight):
        image = split.images.decode(tf.gather(images, example), tf.gather(routes, example))
        return epoch, example, weight, image

    def from_files(epoch, examples, weights, images):
        return finish(epoch[0], examples, weights, images)

    steps = steps_from(start_step, None if shuffle else -(-n // batch_size))
    parallel = tf.data.AUTOTUNE
    if not _encoded(split):
        return steps.map(from_memory, parallel).prefetch(parallel)
    one_by_one = steps.map(
        lambda step: _repeat_epoch(*examples_of(step), made_size), parallel
    ).unbatch()
    decoded = one_by_one.map(decode, parallel).batch(made_size, drop_remainder=True)
    return decoded.map(from_files, parallel).prefetch(parallel)


def steps_from(start_step, end=None):
    """The numbers of the steps that batches are functions of, up to `end` or for ever."""
    options = tf.data.Options()
    options.deterministic = True
    # Its thread sleeps for 2.56 s and more at a time, and an iterator that ends waits for it.
    options.autotune.enabled = False
    whole = tf.data.Dataset
    steps = whole.counter(start_step) if end is None else whole.range(start_step, end)
    return steps.with_options(options)


def _encoded(split):
    return isinstance(split.images, EncodedImages)


def _repeat_epoch(epoch, examples, weights, batch_size):
    return tf.fill([batch_size], epoch), examples, weights
