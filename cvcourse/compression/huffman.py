"""Huffman coding: short codes for frequent symbols. Blocks of symbols are decoded side by side.

Huffman 1952, "A method for the construction of minimum-redundancy codes". Codes of limited length
are found by package-merge: Larmore and Hirschberg 1990, https://doi.org/10.1145/79147.79150. Codes
are canonical, so that their lengths determine them (RFC 1951, section 3.2.2,
https://www.rfc-editor.org/rfc/rfc1951).
"""

import numpy as np

LIMIT = 15  # bits of the longest code: a length fits into 4 bits, and the table has 32,768 rows
BLOCK = 4096  # symbols; blocks are decoded side by side
POSITIONS = 2**32  # of a bit: positions of blocks are stored as unsigned 32-bit integers


def code_lengths(counts: np.ndarray, limit: int = LIMIT) -> np.ndarray:
    """Compute the lengths of the shortest prefix code whose codes have a limited length.

    Args:
        counts: Integer array (symbols,), how often each symbol occurs.
        limit: Largest length in bits, at most 15.

    Returns:
        uint8 array (symbols,) of bits, 0 for symbols that do not occur. A single symbol has a code
        of 1 bit.

    Raises:
        ValueError: If `limit` bits are too few for the symbols, or more than 15, or a count is
            negative.

    >>> code_lengths(np.array([45, 13, 12, 16, 9, 5])).tolist()
    [1, 3, 3, 3, 4, 4]
    """
    counts = np.asarray(counts, "int64")
    used = np.flatnonzero(counts)
    if not 1 <= limit <= LIMIT:
        raise ValueError(f"limit is 1 to {LIMIT} bits; received limit={limit}")
    if len(used) > 2**limit:
        raise ValueError(f"{len(used):,} symbols need codes of more than {limit} bits")
    if counts.min(initial=0) < 0:
        raise ValueError("counts are at least 0")
    lengths = np.zeros(len(counts), "uint8")
    if len(used) < 2:
        lengths[used] = 1
        return lengths
    # A package is two items of the row below. Each of the first 2n - 2 items of the last row that
    # contains a symbol, directly or in a package, makes its code one bit longer.
    order = used[np.argsort(counts[used], kind="stable")]
    coins = counts[order]
    weights, rows = coins, []
    for _ in range(limit - 1):
        packages = weights[: len(weights) // 2 * 2].reshape(-1, 2).sum(1)
        merged = np.concatenate([coins, packages])
        ranks = np.argsort(merged, kind="stable")
        rows.append(ranks < len(coins))  # which items are symbols, the others are packages
        weights = merged[ranks]
    taken = 2 * len(used) - 2
    for is_symbol in reversed(rows):
        symbols = int(is_symbol[:taken].sum())
        lengths[order[:symbols]] += 1
        taken = 2 * (taken - symbols)
    lengths[order[:taken]] += 1
    return lengths


def encode(symbols: np.ndarray, lengths: np.ndarray) -> bytes:
    """Encode symbols with a canonical Huffman code.

    Args:
        symbols: Integer array (n,).
        lengths: As `code_lengths` returns them.

    Returns:
        The first bit of each block of 4,096 symbols but the first, as unsigned 32-bit little-endian
        integers, and the codes, most significant bit first, filled with zeros to a full byte.

    Raises:
        ValueError: If a symbol has no code, the lengths are those of no code, or the codes have
            2^32 bits or more.

    >>> lengths = code_lengths(np.array([2, 1, 1]))
    >>> [f"{byte:08b}" for byte in encode(np.array([0, 1, 2, 0]), lengths)]  # 0, 10, 11, 0
    ['01011000']
    """
    symbols, lengths = np.asarray(symbols), np.asarray(lengths, "uint8")
    order, widths = _canonical(lengths)
    codes = np.zeros(len(lengths), "int32")
    codes[order] = (np.cumsum(widths) - widths) >> (LIMIT - lengths[order])
    if not len(symbols):
        return b""
    if not 0 <= symbols.min() <= symbols.max() < len(lengths):
        raise ValueError(f"symbols are 0 to {len(lengths) - 1}")
    bits = lengths[symbols]
    if not bits.all():
        raise ValueError("a symbol has no code")
    ends = np.cumsum(bits, dtype="int64")
    total = int(ends[-1])
    if total >= POSITIONS:
        raise ValueError(f"{total:,} bits are too many for one stream")
    stream = np.empty(total, "uint8")
    for begin in range(0, len(symbols), 64 * BLOCK):  # in parts, which limits the memory
        part = slice(begin, begin + 64 * BLOCK)
        first, last = int(ends[begin]) - int(bits[begin]), int(ends[part][-1])
        after = np.repeat((ends[part] - first).astype("int32"), bits[part])  # of each bit
        shift = after - np.arange(1, last - first + 1, dtype="int32")
        stream[first:last] = np.repeat(codes[symbols[part]], bits[part]) >> shift & 1
    starts = ends[BLOCK - 1 : -1 : BLOCK].astype("<u4")
    return starts.tobytes() + np.packbits(stream).tobytes()


def decode(data: bytes, n: int, lengths: np.ndarray) -> np.ndarray:
    """Decode symbols that `encode` has encoded.

    Args:
        data: Bytes.
        n: Number of symbols.
        lengths: Lengths of the codes.

    Returns:
        uint16 array (n,).

    Raises:
        ValueError: If the lengths are those of no code, or the data do not consist of exactly `n`
            codes.

    >>> lengths = code_lengths(np.array([2, 1, 1]))
    >>> decode(encode(np.array([0, 1, 2, 0]), lengths), 4, lengths)
    array([0, 1, 2, 0], dtype=uint16)
    """
    lengths = np.asarray(lengths, "uint8")
    order, widths = _canonical(lengths)
    blocks = -(-n // BLOCK)
    starts = np.frombuffer(data[: 4 * max(blocks - 1, 0)], "<u4")
    stream = np.frombuffer(data, "uint8")[4 * len(starts) :]
    bits = 8 * len(stream)
    if n > bits or (n and not len(order)) or (data and not n):  # before memory is allocated
        raise ValueError(f"{len(data):,} bytes are not the codes of {n:,} symbols")
    if not n:
        return np.empty(0, "uint16")
    # Row w of the table is for the 15 bits w: the symbol whose code they begin with, its length.
    table = np.zeros(2**LIMIT, "int32")
    table[: widths.sum()] = np.repeat(order << 4 | lengths[order], widths)
    stream = np.concatenate([stream, np.zeros(2 * BLOCK + 2, "uint8")]).astype("uint32")
    words = stream[:-2] << 16 | stream[1:-1] << 8 | stream[2:]  # the 24 bits from each byte on
    ends = np.append(starts.astype("int64"), bits)
    places = np.concatenate([[0], ends[:-1]])[:blocks]
    if np.any(places[1:] <= places[:-1]) or np.any(places >= bits):
        raise ValueError("its blocks are not in order")
    found = np.empty((min(n, BLOCK), blocks), "uint16")
    for step in range(len(found)):
        here = places[: blocks if (blocks - 1) * BLOCK + step < n else -1]  # the last may be short
        rows = table[words[here >> 3] >> (9 - (here & 7)) & (2**LIMIT - 1)]
        found[step, : len(here)] = rows >> 4
        here += rows & 15
    if np.any(places[:-1] != ends[:-1]) or not 0 <= bits - places[-1] < 8:
        raise ValueError("a code ends outside its block")
    return found.T.ravel()[:n]


def _canonical(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order the symbols by their canonical codes.

    Returns:
        A pair: the symbols that have a code, and how many words of 15 bits begin with each.

    Raises:
        ValueError: If there is no such prefix code, or words begin with no code.
    """
    used = np.flatnonzero(lengths)
    order = used[np.argsort(lengths[used], kind="stable")]
    widths = 1 << (LIMIT - lengths[order].astype("int64"))
    if widths.sum() != 2**LIMIT and lengths[order].tolist() not in ([], [1]):  # Kraft 1949
        raise ValueError("the lengths are those of no complete prefix code")
    return order, widths
