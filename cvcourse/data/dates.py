"""Dates in written English and in ISO 8601: a small translation task without any files.

The task is known from exercises in neural machine translation with human-readable dates.
"""

import dataclasses
import datetime

import numpy as np

from cvcourse.data.dataset import format_length
from cvcourse.vocabulary import END, PAD, START, Vocabulary

FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
CHARACTERS = " ,-./0123456789abcdefghijlmnoprstuvwxy"  # of all sources
ISO, ISO_CHARACTERS = "yyyy-mm-dd", "-0123456789"
LONGEST = 36  # characters: the twenty-seventh of september 1984
SPECIAL = "\0\1\2"  # the characters of PAD, START and END
# strftime and the calendar module use the user's language.
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UP_TO_NINETEEN = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth"),
    *("seventeenth", "eighteenth", "nineteenth"),
)
ORDINALS = (  # of the days of a month
    *UP_TO_NINETEEN,
    *("twentieth", *(f"twenty-{word}" for word in UP_TO_NINETEEN[:9])),
    *("thirtieth", "thirty-first"),
)
ENDINGS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}  # otherwise th


@dataclasses.dataclass(frozen=True)
class Pair:
    """A date in written English, the same date in ISO 8601, and the index of the way in `ways`."""

    source: str
    target: str
    way: int


@dataclasses.dataclass(frozen=True)
class Dates:
    """Three splits, tuples of Pairs; no date occurs twice."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]

    def __repr__(self):
        counts = ", ".join(f"{name} {format_length(part)}" for name, part in vars(self).items())
        return f"Dates(pairs: {counts})"


def ways(date):
    """Return the ways to write a date, in lower case: a tuple of texts, in a fixed order.

    No text is ambiguous: the month is a number only if the year comes first, and years have four
    digits.
    """
    day, number, year = date.day, date.month, date.year
    month, weekday = MONTHS[number - 1], WEEKDAYS[date.weekday()]
    short, nth, spelled = month[:3], f"{day}{ENDINGS.get(day, 'th')}", ORDINALS[day - 1]
    return (
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{day} {short} {year}",
        f"{short} {day}, {year}",
        f"{weekday}, {day} {month} {year}",
        f"{weekday}, {month} {day}, {year}",
        f"{weekday[:3]} {day} {short} {year}",
        f"{nth} of {month} {year}",
        f"{month} {nth}, {year}",
        f"the {spelled} of {month} {year}",
        f"{month} the {spelled}, {year}",
        f"{day:02}-{short}-{year}",
        f"{day} {ROMAN[number - 1]} {year}",
        f"{year}/{number:02}/{day:02}",
        f"{year}.{number}.{day}",
        f"{year}{number:02}{day:02}",
    )


EXAMPLES = ways(datetime.date(1984, 3, 3))


def load(train, held_out=1000, *, seed=0):
    """Draw dates of 1900 to 2099 without repetition, and write them in each of the ways in turn.

    A larger `train` adds pairs at the end of the training split and changes no other pairs.

    Args:
        train: Number of training pairs.
        held_out: Number of pairs for validation, and for test.
        seed: Seed of the draw.

    Returns:
        The Dates.

    Raises:
        ValueError: If there are more pairs than days.
    """
    days = (LAST - FIRST).days + 1
    if train + 2 * held_out > days:
        raise ValueError(
            f"there are {days} days from {FIRST.year} to {LAST.year}, and each is used once; "
            f"received {train} examples for training and twice {held_out} for evaluation"
        )
    drawn = np.random.default_rng(seed).permutation(days)[: train + 2 * held_out]
    pairs = [pair(FIRST + datetime.timedelta(int(day)), i) for i, day in enumerate(drawn)]
    return Dates(
        train=tuple(pairs[2 * held_out :]),
        validation=tuple(pairs[held_out : 2 * held_out]),
        test=tuple(pairs[:held_out]),
    )


def pair(date, number):
    """Make the Pair of a date, written in the way with the index `number`, counted cyclically."""
    texts = ways(date)
    way = number % len(texts)
    return Pair(texts[way], date.isoformat(), way)


def vocabularies():
    """Return the vocabularies of sources and of targets, as a pair."""
    read, write = SPECIAL[:START] + CHARACTERS, SPECIAL + ISO_CHARACTERS
    return Vocabulary(tuple(read), ""), Vocabulary(tuple(write), "")


def require_readable(text, name="text"):
    """Check that a text has only characters that dates have, and is not longer than a date.

    Args:
        text: The text.
        name: Name of the text in errors.

    Raises:
        ValueError: If the text has other characters, is empty or too long.
    """
    if not 0 < len(text) <= LONGEST:
        raise ValueError(
            f"{name} takes a date of up to {LONGEST} characters, such as {EXAMPLES[0]!r}; "
            f"received {len(text)}: {text[: 2 * LONGEST]!r}"
        )
    for character in text.lower():
        if character not in CHARACTERS:
            raise ValueError(
                f"{name}: the training dates do not have the character {character!r}, "
                f"only {CHARACTERS!r}; received {text!r}"
            )


def encode_sources(texts):
    """Encode sources, in upper or lower case: (n, LONGEST) int32, padded with PAD at the end."""
    read, _ = vocabularies()
    tokens = np.full((len(texts), LONGEST), PAD, "int32")
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = read.encode(text.lower())
    return tokens


def encode_targets(texts):
    """Encode targets for teacher forcing.

    Args:
        texts: n texts of ISO_CHARACTERS.

    Returns:
        A pair of int32 arrays (n, length of the longest text + 1), padded with PAD at the end: the
        decoder's inputs, START and the text, and its labels, the text and END.
    """
    _, write = vocabularies()
    inputs, labels = np.full((2, len(texts), 1 + max(map(len, texts))), PAD, "int32")
    for i, text in enumerate(texts):
        tokens = write.encode(text)
        inputs[i, : 1 + len(text)] = [START, *tokens]
        labels[i, : 1 + len(text)] = [*tokens, END]
    return inputs, labels


def decode_target(tokens):
    """Decode a target: tokens (n,), START first -> the text before END."""
    _, write = vocabularies()
    return write.decode(tokens[1:]).split(SPECIAL[END])[0]


def rows(pairs):
    """Encode a split for `stream_rows`: (inputs, labels, weights); padding has weight 0.

    Shapes of n pairs: inputs {"source": (n, LONGEST), "tokens": (n, m)}, labels and weights (n, m),
    with m as in `encode_targets`.
    """
    tokens, labels = encode_targets([pair.target for pair in pairs])
    inputs = {"source": encode_sources([pair.source for pair in pairs]), "tokens": tokens}
    return inputs, labels, (labels != PAD).astype("float32")


def exact_match(pairs, texts):
    """Compute the share of pairs whose target equals the text: n pairs, n texts -> 0..1."""
    return sum(pair.target == text for pair, text in zip(pairs, texts, strict=True)) / len(pairs)


def exact_match_by_way(pairs, texts):
    """Compute `exact_match` for each way to write a date: {example: share}."""
    found = {}
    for way, example in enumerate(EXAMPLES):
        if some := [one for one in zip(pairs, texts, strict=True) if one[0].way == way]:
            found[example] = exact_match(*zip(*some, strict=True))
    return found
