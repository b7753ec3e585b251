"""Huffman codes against a heap, the textbook, and the entropy."""

import heapq
import itertools

import numpy as np
import pytest

from cvcourse.compression.huffman import BLOCK, code_lengths, decode, encode

TEXTBOOK = np.array([45, 13, 12, 16, 9, 5])  # Cormen et al., Introduction to Algorithms, 16.3


def cost_by_heap(counts):
    """Bits of Huffman's code, as the sum of the merged weights."""
    heap = sorted(int(count) for count in counts if count)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def cost_by_search(counts, limit):
    """Bits of the shortest code of limited length, by trying all lengths."""
    best = np.inf
    for lengths in itertools.product(range(1, limit + 1), repeat=len(counts)):
        if sum(2.0**-length for length in lengths) <= 1:
            best = min(best, int(np.dot(counts, lengths)))
    return best


def test_lengths_of_the_textbook():
    lengths = code_lengths(TEXTBOOK)
    assert lengths.tolist() == [1, 3, 3, 3, 4, 4]
    assert int((TEXTBOOK * lengths).sum()) == 224
    assert code_lengths(np.array([3, 0, 0])).tolist() == [1, 0, 0]
    assert code_lengths(np.zeros(3, int)).tolist() == [0, 0, 0]


def test_lengths_are_shortest():
    rng = np.random.default_rng(0)
    for symbols in (2, 3, 17, 257):
        counts = rng.integers(0, 1000, symbols)
        lengths = code_lengths(counts)
        assert (lengths * counts).sum() == cost_by_heap(counts)
        assert np.sum(2.0 ** -lengths[counts > 0].astype(float)) == 1  # Kraft
        p = counts[counts > 0] / counts.sum()
        assert 0 <= lengths @ counts / counts.sum() + (p * np.log2(p)).sum() < 1
    for limit in (2, 3, 4):
        counts = np.array([1, 1, 3, 40])
        assert (code_lengths(counts, limit) * counts).sum() == cost_by_search(counts, limit)


def test_lengths_are_limited():
    """The code of Fibonacci's numbers is as unequal as a code can be."""
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(sum(fibonacci[-2:]))
    lengths = code_lengths(np.array(fibonacci))
    assert lengths.max() == 15 and np.sum(2.0 ** -lengths.astype(float)) == 1
    skewed = np.ones(2**15, int)
    skewed[0] = 2**40
    assert (code_lengths(skewed) == 15).all()  # there is no other code
    assert code_lengths(skewed[:-1]).tolist() == [14, *[15] * (2**15 - 2)]


@pytest.mark.parametrize(
    "n", [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 7, 70 * BLOCK]
)
@pytest.mark.parametrize("symbols", [1, 2, 300])
def test_symbols_survive(n, symbols):
    rng = np.random.default_rng(n + symbols)
    values = rng.geometric(0.05, n) % symbols
    lengths = code_lengths(np.bincount(values, minlength=symbols))
    data = encode(values, lengths)
    np.testing.assert_array_equal(decode(data, n, lengths), values)
    blocks = max(-(-n // BLOCK) - 1, 0)
    assert len(data) == 4 * blocks + -(-int(lengths[values].sum(dtype=int)) // 8)


def test_bits_by_hand():
    """Codes 0, 10, 110, 111; the first is the most significant bit."""
    lengths = np.array([1, 2, 3, 3])
    assert encode(np.array([3, 0, 1, 2, 0]), lengths) == bytes([0b11101011, 0b00000000])
    long = encode(np.full(BLOCK + 1, 1), lengths)
    assert long[:4] == (2 * BLOCK).to_bytes(4, "little") and long[4:] == b"\xaa" * 1024 + b"\x80"


@pytest.mark.parametrize(
    ("data", "n", "lengths", "words"),
    [
        (b"\x00", 9, [1, 1], "1 bytes are not the codes of 9 symbols"),
        (b"", 2**60, [1, 1], "0 bytes are not the codes"),
        (b"\x00", 0, [1, 1], "1 bytes are not the codes of 0 symbols"),
        (b"\x00", 4, [0, 0], "1 bytes are not the codes"),
        (b"\x00", 4, [1, 1, 1], "no complete prefix code"),
        (b"\x00", 4, [2, 2], "no complete prefix code"),
        (b"\x00", 4, [3], "no complete prefix code"),
        (b"\x00\x00", 4, [1, 1], "a code ends outside its block"),
        (b"\xff", 5, [1, 2, 3, 3], "a code ends outside its block"),
        (b"\xff", 8, [1], "a code ends outside its block"),
        (b"\x01\x00\x00\x00" + b"\x00" * 513, BLOCK + 1, [1, 1], "a code ends outside its block"),
        (b"\xff" * 4 + b"\x00" * 513, BLOCK + 1, [1, 1], "its blocks are not in order"),
    ],
)
def test_damaged_streams_are_refused(data, n, lengths, words):
    with pytest.raises(ValueError, match=words):
        decode(data, n, np.array(lengths))


def test_what_cannot_be_encoded_is_refused():
    with pytest.raises(ValueError, match="5 symbols need codes of more than 2 bits"):
        code_lengths(np.ones(5, int), 2)
    with pytest.raises(ValueError, match="limit is 1 to 15 bits; received limit=16"):
        code_lengths(np.ones(5, int), 16)
    with pytest.raises(ValueError, match="counts are at least 0"):
        code_lengths(np.array([1, -1]))
    with pytest.raises(ValueError, match="a symbol has no code"):
        encode(np.array([1]), np.array([1, 0]))
    with pytest.raises(ValueError, match="symbols are 0 to 1"):
        encode(np.array([2]), np.array([1, 1]))
