"""Streams of sequences: batch i is a function of (seed, start_step + i) alone, as for images."""

import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from cvcourse.data._stream import steps_from
from cvcourse.data.augmentation import keys, permuted


def stream_rows(
    rows: tuple[Any, Any, Any],
    *,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
) -> tf.data.Dataset:
    """Stream batches of rows, from any step on.

    With `shuffle` (training) the stream has no end: each epoch is a new permutation, whose last
    incomplete batch is dropped. Without (evaluation) it is one pass in order, whose last batch is
    padded with rows of weight 0.

    Args:
        rows: (inputs, labels, weights), each an array (n, …) or a dict of such arrays; weights are
            float32.
        batch_size: Number of rows in a batch.
        seed: Seed of the shuffle.
        start_step: Number of the first batch.
        shuffle: True for training, False for evaluation.

    Returns:
        A tf.data.Dataset of (inputs, labels, weights), each (batch_size, …).

    Raises:
        ValueError: If `shuffle` is True and there are fewer rows than in a batch.

    >>> inputs, labels = np.arange(6).reshape(3, 2), np.arange(3)
    >>> batches = stream_rows((inputs, labels, np.ones(3, "float32")), batch_size=2, shuffle=False)
    >>> [(labels.numpy().tolist(), weights.numpy().tolist()) for _, labels, weights in batches]
    [([0, 1], [1.0, 1.0]), ([2, 2], [1.0, 0.0])]
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


def stream_windows(
    tokens: np.ndarray, *, length: int, batch_size: int, seed: int = 0, start_step: int = 0
) -> tf.data.Dataset:
    """Stream windows of a long text for training, from any step on and without end.

    Each epoch cuts the text into whole windows at a new random offset, and shuffles them; see
    `windows_per_epoch`.

    Args:
        tokens: Tokens of the text (n,).
        length: Number of tokens in a window.
        batch_size: Number of windows in a batch.
        seed: Seed of offsets and shuffle.
        start_step: Number of the first batch.

    Returns:
        A tf.data.Dataset of (inputs, labels, weights), each (batch_size, length): labels are the
        tokens that follow the inputs, weights are 1.

    Raises:
        ValueError: If the text has fewer windows than a batch.

    >>> batches = stream_windows(np.arange(100), length=8, batch_size=4)
    >>> inputs, labels, weights = next(iter(batches))
    >>> inputs.shape, bool((labels == inputs + 1).numpy().all())
    (TensorShape([4, 8]), True)
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


def windows_per_epoch(tokens: np.ndarray, length: int) -> int:
    """Count the windows of an epoch of `stream_windows`, at any offset.

    Args:
        tokens: Tokens of the text (n,).
        length: Number of tokens in a window.

    Returns:
        Number of whole windows.

    >>> windows_per_epoch(np.arange(100), 8)
    11
    """
    return (len(tokens) - length) // length


def windows_in_order(tokens: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a long text into windows for evaluation, such that each token counts once.

    Windows overlap by half, and only the second half of each counts: every token, except in the
    first window, is predicted from at least length / 2 tokens before it.

    Args:
        tokens: Tokens of the text (n,).
        length: Number of tokens in a window.

    Returns:
        Rows for `stream_rows`: inputs, labels and weights, each (windows, length).

    Raises:
        ValueError: If the text is not longer than a window.

    >>> inputs, labels, weights = windows_in_order(np.arange(7), 4)
    >>> labels[weights > 0]
    array([1, 2, 3, 4, 5, 6])
    """
    if len(tokens) <= length:
        raise ValueError(
            f"a text of {len(tokens)} tokens is not longer than a window of {length}: use a "
            "shorter window or a longer text"
        )
    half = length // 2
    last = len(tokens) - length - 1
    starts = np.unique([*range(0, last, length - half), last])
    windows = tokens[starts[:, None] + np.arange(length + 1)]
    begins = np.concatenate([[0], starts[:-1] + length])  # after the tokens of the previous window
    weights = (starts[:, None] + np.arange(length) >= begins[:, None]).astype("float32")
    return windows[:, :-1], windows[:, 1:], weights


def fingerprint_rows(rows: Any) -> str:
    """Hash arrays, to detect whether data have changed.

    Args:
        rows: Arrays in tuples, lists or dicts.

    Returns:
        Eight hexadecimal digits.

    >>> fingerprint_rows((np.arange(3, dtype="int32"), {"a": np.zeros(2, "float32")}))
    '4d869483'
    """
    found = 0
    for array in tf.nest.flatten(rows):
        found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
    return f"{found:08x}"
