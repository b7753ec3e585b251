"""Streams of sequences: batch i is a function of (seed, start_step + i) alone, as in stream.py."""

import zlib

import numpy as np
import tensorflow as tf

from cvcourse.data._stream import steps_from
from cvcourse.data.augmentation import keys, permuted


def stream_rows(rows, *, batch_size, seed=0, start_step=0, shuffle=True):
    """Batches of `rows`, (inputs, labels, weights) of arrays or dicts of arrays, n each.

    With `shuffle` (training) it never ends: epoch after epoch, each a new permutation whose last
    incomplete batch is dropped. Without (evaluation) it is one pass in order, whose last batch is
    filled up with examples of weight 0. Weights are float32. Raises ValueError for fewer rows than
    a batch where it shuffles.
    """
    n = len(rows[2])
    if shuffle and n < batch_size:
        raise ValueError(f"batch_size={batch_size} exceeds the {n} training examples: lower it")
    with tf.device("CPU:0"):
        rows = tf.nest.map_structure(tf.constant, rows)
        seed = tf.constant(seed, tf.int64)

    def batch(step):
        places = tf.range(batch_size, dtype=tf.int64)
        if shuffle:
            epoch, step = step // (n // batch_size), step % (n // batch_size)
            places = permuted(step * batch_size + places, keys(seed, epoch)[0], n)
            return tf.nest.map_structure(lambda values: tf.gather(values, places), rows)
        places = step * batch_size + places
        inputs, labels, weights = tf.nest.map_structure(
            lambda values: tf.gather(values, tf.minimum(places, n - 1)), rows
        )
        real = tf.reshape(tf.cast(places < n, tf.float32), [-1] + [1] * (len(weights.shape) - 1))
        return inputs, labels, weights * real

    end = None if shuffle else -(-n // batch_size)
    return steps_from(start_step, end).map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def stream_windows(tokens, *, length, batch_size, seed=0, start_step=0):
    """Windows of a long text for training, for ever: (batch, length) and the tokens that follow.

    Each epoch cuts the text (n,) anew, at another offset, in whole windows, and gives them in
    another order; see `windows_per_epoch`. Yields (inputs, labels, weights of 1). Raises ValueError
    for a text of less than a batch of windows.
    """
    count = windows_per_epoch(tokens, length)
    if count < batch_size:
        raise ValueError(
            f"a text of {len(tokens)} tokens has {max(count, 0)} training windows of {length}: "
            f"fewer than a batch of {batch_size}; lower one of the two"
        )
    with tf.device("CPU:0"):
        tokens, seed = tf.constant(tokens), tf.constant(seed, tf.int64)

    def batch(step):
        epoch, step = step // (count // batch_size), step % (count // batch_size)
        drawn = keys(seed, epoch)
        places = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        offset = tf.random.stateless_uniform([], drawn[1, :2], 0, length, tf.int64)
        starts = offset + length * permuted(places, drawn[0], count)
        windows = tf.gather(tokens, starts[:, None] + tf.range(length + 1, dtype=tf.int64))
        return windows[:, :-1], windows[:, 1:], tf.ones([batch_size, length])

    return steps_from(start_step).map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def windows_per_epoch(tokens, length):
    """How many whole windows an epoch has, wherever it begins to cut."""
    return (len(tokens) - length) // length


def windows_in_order(tokens, length):
    """A long text for evaluation, as rows (inputs, labels, weights): each token once.

    Windows overlap by half, and only the later half of each counts: every token, but for those of
    the first window, is judged with at least length / 2 tokens before it. Shapes: (windows,
    length). Raises ValueError for a text that is no longer than a window.
    """
    if len(tokens) <= length:
        raise ValueError(
            f"a text of {len(tokens)} tokens is no longer than a window of {length}: a shorter "
            "window or a longer text"
        )
    half = length // 2
    last = len(tokens) - length - 1
    starts = np.unique([*range(0, last, length - half), last])
    windows = tokens[starts[:, None] + np.arange(length + 1)]
    begins = np.concatenate([[0], starts[:-1] + length])  # what the window before has not counted
    weights = (starts[:, None] + np.arange(length) >= begins[:, None]).astype("float32")
    return windows[:, :-1], windows[:, 1:], weights


def fingerprint_rows(rows):
    """What tells arrays, or dicts of them, from others: hexadecimal digits."""
    found = 0
    for array in tf.nest.flatten(rows):
        found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
    return f"{found:08x}"
