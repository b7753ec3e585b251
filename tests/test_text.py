"""Texts to learn from: files, the embedded one, and the parts of a text."""

import numpy as np
import pytest

from cvcourse import data


def test_a_byte_order_mark_is_no_character_of_the_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert data.load_text(path) == "one\ntwo\n"
    assert data.load_text(str(path), limit=5) == "one\nt"


def test_the_embedded_text_needs_no_file():
    text = data.load_text("python_reference", limit=5000)
    assert len(text) == 5000
    assert "assert" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has no characters: two or more"), ("aaa", "has only the character 'a': two or more")],
)
def test_one_character_is_nothing_to_learn_from(content, message, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(content)
    with pytest.raises(data.DataError, match=message):
        data.load_text(path)


def test_splits_are_pieces_of_the_text():
    """The last tenth for the test; five of ninety pieces of the rest for validation."""
    train, validation, test = data.split_text(np.arange(1000))
    np.testing.assert_array_equal(test, np.arange(900, 1000))
    expected = np.concatenate([np.arange(10 * i, 10 * i + 10) for i in (17, 35, 53, 71, 89)])
    np.testing.assert_array_equal(validation, expected)
    np.testing.assert_array_equal(train, np.setdiff1d(np.arange(900), expected))
