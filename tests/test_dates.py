"""Dates as people write them: what a text means, the splits, and how they are encoded."""

import datetime
import re

import numpy as np
import pytest

from cvcourse import data
from cvcourse.data import dates

YEAR = [datetime.date(1984, 1, 1) + datetime.timedelta(day) for day in range(366)]


def parsed(text):
    """The date that a text means, by strptime; a weekday must be the date's."""
    for number, word in enumerate(dates.ORDINALS, start=1):
        text = re.sub(rf"the {word}\b(?!-)", str(number), text)
    text = re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", text).replace(" of ", " ")
    for number, roman in enumerate(dates.ROMAN, start=1):
        text = text.replace(f" {roman} ", f" {number} ")
    weekday = re.match(r"(...)\w*day,? |(mon|tue|wed|thu|fri|sat|sun) ", text)
    text = text[weekday.end() :] if weekday else text
    found = set()
    for form in (
        *("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y"),
        *("%d %m %Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    ):
        try:
            found.add(datetime.datetime.strptime(text, form).date())
        except ValueError:
            continue
    (date,) = found
    if weekday:
        assert ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][date.weekday()] in weekday[0]
    return date


def test_every_way_means_its_date():
    for date in YEAR:
        for text in dates.ways(date):
            assert parsed(text) == date, text


def test_no_text_means_two_dates():
    texts = [(text, date) for date in YEAR for text in {*dates.ways(date)}]
    assert len(dict(texts)) == len(texts)
    assert {*"".join(text for text, _ in texts)} == {*dates.CHARACTERS}
    assert max(len(text) for text, _ in texts) == dates.LONGEST


def test_ordinals_are_english():
    assert len(dates.ORDINALS) == 31
    for day, word, short in ((1, "first", "1st"), (12, "twelfth", "12th"), (22, "", "22nd")):
        texts = dates.ways(datetime.date(1984, 3, day))
        assert f"{short} of march 1984" in texts
        assert any(word in text for text in texts)
    assert "the thirty-first of march 1984" in dates.ways(datetime.date(1984, 3, 31))


def test_splits_share_no_date_and_are_the_same_each_time():
    found = dates.load(500, 100)
    splits = [found.train, found.validation, found.test]
    assert [len(split) for split in splits] == [500, 100, 100]
    targets = [pair.target for split in splits for pair in split]
    assert len({*targets}) == len(targets)
    assert all(parsed(pair.source).isoformat() == pair.target for pair in found.train)
    assert found == dates.load(500, 100)
    assert found != dates.load(500, 100, seed=1)
    more = dates.load(800, 100)
    assert (more.train[:500], more.test) == (found.train, found.test)
    counts = np.bincount([pair.way for pair in found.train])
    assert len(counts) == len(dates.EXAMPLES) and counts.max() - counts.min() <= 1
    assert [(pair.source, pair.target) for pair in found.test[:2]] == [
        ("31 march 2084", "2084-03-31"),
        ("december 25, 2074", "2074-12-25"),
    ]


def test_all_days_are_taken_but_no_more():
    every = dates.load(73_049 - 2, 1)
    assert len({pair.target for pair in every.train}) == 73_047
    with pytest.raises(ValueError, match="there are 73049 days from 1900 to 2099"):
        dates.load(73_048, 1)


def test_teacher_forcing():
    given, wanted = dates.encode_targets(["1984-03-03", "19"])
    digits = {c: 3 + i for i, c in enumerate("-0123456789")}
    first = [digits[c] for c in "1984-03-03"]
    assert given[0].tolist() == [data.START, *first]
    assert wanted[0].tolist() == [*first, data.END]
    assert given[1].tolist() == [data.START, digits["1"], digits["9"]] + 8 * [data.PAD]
    assert wanted[1].tolist() == [digits["1"], digits["9"], data.END] + 8 * [data.PAD]
    inputs, labels, weights = dates.rows(dates.load(3, 1).train)
    assert inputs["source"].shape == (3, dates.LONGEST)
    assert weights.tolist() == (labels != data.PAD).astype(float).tolist()


def test_what_was_written_ends_at_the_end():
    digits = {c: 3 + i for i, c in enumerate("-0123456789")}
    tokens = [data.START, digits["1"], digits["9"], data.END, digits["8"], data.PAD]
    assert dates.decode_target(tokens) == "19"
    _, labels = dates.encode_targets(["1984-03-03"])
    assert dates.decode_target([data.START, *labels[0]]) == "1984-03-03"


def test_exact_match_counts_whole_texts():
    pairs = dates.load(1, 3).test  # the ways 0, 1 and 2
    texts = [pairs[0].target, pairs[1].target[:-1], pairs[2].target]
    assert dates.exact_match(pairs, texts) == 2 / 3
    by_way = {dates.EXAMPLES[0]: 1, dates.EXAMPLES[1]: 0, dates.EXAMPLES[2]: 1}
    assert dates.exact_match_by_way(pairs, texts) == by_way


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 märz 1984", "text: the training dates do not have the character 'ä', only ' ,-./0"),
        ("3" * 37, "text takes a date of up to 36 characters, such as '3 march 1984'; received 37"),
        ("", "received 0: ''"),
    ],
)
def test_unreadable_texts(text, message):
    dates.require_readable("March 3, 1984")
    with pytest.raises(ValueError, match=re.escape(message)):
        dates.require_readable(text)


def test_repr():
    assert repr(dates.load(1200, 30)) == "Dates(pairs: train 1,200, validation 30, test 30)"
