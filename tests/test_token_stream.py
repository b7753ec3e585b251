"""Streams of sequences against NumPy: every row once an epoch, any step of it at once."""

import numpy as np
import pytest

from cvcourse import data

TOKENS = np.arange(1000, dtype="int32")


def taken(stream, steps):
    return [
        [np.asarray(part) for part in batch] for batch in stream.take(steps).as_numpy_iterator()
    ]


def rows(n=10):
    inputs = {"a": np.arange(n, dtype="int32"), "b": np.arange(2.0 * n).reshape(n, 2)}
    return inputs, np.arange(n, dtype="int32")[:, None], np.ones((n, 1), "float32")


def test_an_epoch_of_rows_is_a_permutation_and_the_next_is_another():
    batches = list(data.stream_rows(rows(), batch_size=5, seed=1).take(4).as_numpy_iterator())
    epochs = [np.concatenate([b[0]["a"] for b in batches[i : i + 2]]) for i in (0, 2)]
    for epoch in epochs:
        assert sorted(epoch) == [*range(10)]
    assert (epochs[0] != epochs[1]).any()
    for inputs, labels, weights in batches:
        np.testing.assert_array_equal(inputs["b"][:, 0], 2 * inputs["a"])
        np.testing.assert_array_equal(labels[:, 0], inputs["a"])
        assert weights.min() == 1


def test_evaluation_is_one_pass_filled_up_with_weights_of_0():
    batches = list(data.stream_rows(rows(), batch_size=4, shuffle=False).as_numpy_iterator())
    labels, weights = (np.concatenate([b[i] for b in batches])[:, 0] for i in (1, 2))
    np.testing.assert_array_equal(labels[:10], np.arange(10))
    np.testing.assert_array_equal(weights, [1] * 10 + [0] * 2)


@pytest.mark.parametrize(
    "stream",
    [
        lambda **at: data.stream_rows(rows(), batch_size=3, seed=2, **at),
        lambda **at: data.stream_windows(TOKENS, length=7, batch_size=20, seed=2, **at),
    ],
)
def test_it_can_begin_at_any_step(stream):
    whole, rest = (
        [values for batch in part.as_numpy_iterator() for values in (batch[1], batch[2])]
        for part in (stream().take(12), stream(start_step=5).take(7))
    )
    for one, other in zip(whole[10:], rest, strict=True):
        np.testing.assert_array_equal(one, other)


def test_windows_are_whole_disjoint_and_followed_by_what_comes_next():
    length, size = 7, 20
    steps = data.windows_per_epoch(TOKENS, length) // size
    batches = taken(data.stream_windows(TOKENS, length=length, batch_size=size, seed=3), 4 * steps)
    offsets = set()
    for epoch in range(4):
        inputs = np.concatenate([b[0] for b in batches[epoch * steps : (epoch + 1) * steps]])
        np.testing.assert_array_equal(np.diff(inputs), 1)
        assert len(np.unique(inputs)) == inputs.size == steps * size * length
        offsets.add(int(inputs[0, 0]) % length)
        assert {*(inputs[:, 0] % length)} == {inputs[0, 0] % length}
    assert len(offsets) > 1
    for inputs, labels, weights in batches:
        np.testing.assert_array_equal(labels, inputs + 1)
        assert weights.min() == 1


@pytest.mark.parametrize(("n", "length"), [(1000, 8), (999, 8), (23, 7), (9, 8), (40, 2)])
def test_every_token_but_the_first_is_judged_once(n, length):
    inputs, labels, weights = data.windows_in_order(TOKENS[:n], length)
    np.testing.assert_array_equal(labels, inputs + 1)
    assert sorted(labels[weights == 1]) == [*range(1, n)]
    before = np.arange(length) * np.ones((len(inputs), 1)) + 1  # tokens seen at each place
    later = (weights == 1) & (labels > length)
    assert before[later].min(initial=length) >= length / 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: data.stream_rows(rows(3), batch_size=4), "batch_size=4 exceeds the 3"),
        (lambda: data.windows_in_order(TOKENS[:8], 8), "8 tokens is not longer than a window of 8"),
        (
            lambda: data.stream_windows(TOKENS[:50], length=9, batch_size=9),
            "has 4 training windows",
        ),
        (lambda: data.stream_windows(TOKENS[:5], length=9, batch_size=9), "has 0 training windows"),
    ],
)
def test_too_few_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_fingerprint_tells_arrays_apart():
    inputs, labels, weights = rows()
    fingerprint = data.fingerprint_rows((inputs, labels))
    assert data.fingerprint_rows((inputs, labels.copy())) == fingerprint
    assert data.fingerprint_rows((inputs, labels + 1)) != fingerprint
    assert data.fingerprint_rows((inputs, labels, weights)) != fingerprint


def test_the_old_name_of_the_fingerprint_warns():
    with pytest.warns(FutureWarning, match=r"data\.fingerprint is now called .*fingerprint_rows"):
        assert data.fingerprint((TOKENS,)) == data.fingerprint_rows((TOKENS,))
