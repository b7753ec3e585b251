"""Vocabularies: which tokens, which ids, and what is refused with which sentence."""

import json
import time

import numpy as np
import pytest

from cvcourse.vocabulary import END, PAD, SPECIAL, START, UNK, Vocabulary, words

CAPTIONS = ("A dog runs .", "The dog sleeps .", "A cat , a dog and the 'n' .")


def refused(call, *parts):
    """The call ends in one sentence that has all of `parts`."""
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    assert "\n" not in message


# Characters


def test_characters_are_sorted_and_come_back():
    vocabulary = Vocabulary.of_characters("hello\nworld")
    assert vocabulary.tokens == ("\n", "d", "e", "h", "l", "o", "r", "w")
    assert (len(vocabulary), vocabulary.joiner) == (8, "")
    ids = vocabulary.encode("hold\n")
    assert ids.dtype == "int32"
    np.testing.assert_array_equal(ids, [3, 5, 4, 1, 0])
    assert vocabulary.decode(ids) == "hold\n"


@pytest.mark.parametrize("text", ["naïve ‘Ω’ 漢字 \U0001f600", "e\u0301é", "a\ud800b", " \t\r\n\0"])
def test_any_character_comes_back(text):
    vocabulary = Vocabulary.of_characters(text)
    assert list(vocabulary.tokens) == sorted(set(text))
    assert [vocabulary.tokens[i] for i in vocabulary.encode(text)] == list(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_no_text_is_no_ids():
    vocabulary = Vocabulary.of_characters("ab")
    assert (vocabulary.encode("").shape, vocabulary.encode("").dtype) == ((0,), "int32")
    assert vocabulary.decode([]) == vocabulary.decode(vocabulary.encode("")) == ""


def test_ids_are_the_places_of_stored_tokens_in_any_order():
    vocabulary = Vocabulary(tuple("cab"), "")
    np.testing.assert_array_equal(vocabulary.encode("abc"), [1, 2, 0])


def test_a_long_text_takes_no_loop_over_its_characters():
    text = "To be, or not to be: that is the question.\n" * 25_000  # 1.1 million characters
    vocabulary = Vocabulary.of_characters(text)
    table = {character: i for i, character in enumerate(vocabulary.tokens)}

    def seconds(encode):
        start = time.process_time()
        ids = encode(text)
        end = time.process_time()
        np.testing.assert_array_equal(ids[-43:], [table[character] for character in text[-43:]])
        return end - start

    def one_by_one(text):
        return np.array([table[character] for character in text], "int32")

    # In turn, for other work slows down both; the first round may build a table.
    rounds = [(seconds(vocabulary.encode), seconds(one_by_one)) for _ in range(3)]
    at_once, looped = np.min(rounds, axis=0)
    assert at_once < looped / 3  # a twentieth, as measured


def test_an_unknown_character_is_named():
    vocabulary = Vocabulary.of_characters("abc\n")
    refused(lambda: vocabulary.encode("abéaz"), "'é'", "number 3", "4 of", r"'\nabc'")
    many = Vocabulary.of_characters("".join(map(chr, range(33, 500))))
    shown = repr("".join(map(chr, range(33, 93))))
    refused(lambda: many.encode("a\n"), r"'\n'", "number 2", "467 of", f": {shown} ...")


# Words


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ('A man , in a "T-shirt" .', "a man in a t shirt"),
        (
            "The dog's ball; the dogs' balls: dog 's n't",
            "the dog's ball the dogs' balls dog 's n't",
        ),
        ("The dog’s 2 balls!", "the dog's 2 balls"),
        ("` ' '' snake_case & 50% (yes/no) <end>", "snake case 50 yes no end"),
        ("Ein Hund läuft übers Eis", "ein hund läuft übers eis"),
        ("un cafe\u0301", "un café"),
        ("ÉTÉ Ωmega 犬 कुत्ता دوڑتا", "été ωmega 犬 कुत्ता دوڑتا"),
        ("fun \U0001f600\u2028\xa0x\ty\n", "fun x y"),
        (" . , ", ""),
        ("一只狗在跑。2只猫", "一 只 狗 在 跑 2 只 猫"),  # no blanks: by the character
        ("T恤 和dog's球", "t 恤 和 dog's 球"),
        ("いぬがﾎﾞｰﾙ", "い ぬ が ﾎ ﾞ ｰ ﾙ"),
        ("かた か\u3099", "か た が"),
        ("ที่นี่", "ที่ นี่"),  # Thai, with the marks on each letter
        ("개가 달린다", "개가 달린다"),  # Korean has blanks
    ],
)
def test_words(caption, expected):
    assert words(caption) == expected.split()


def test_words_are_ordered_by_how_often_they_occur():
    vocabulary = Vocabulary.of_words(CAPTIONS)
    assert vocabulary.tokens == (*SPECIAL, "a", "dog", "the", "'n'", "and", "cat", "runs", "sleeps")
    assert vocabulary.joiner == " "
    assert Vocabulary.of_words(CAPTIONS, least=2).tokens == (*SPECIAL, "a", "dog", "the")
    assert Vocabulary.of_words(iter(CAPTIONS), least=3).tokens == (*SPECIAL, "a", "dog")


def test_special_tokens():
    assert SPECIAL == ("<pad>", "<start>", "<end>", "<unk>")
    assert (PAD, START, END, UNK) == (0, 1, 2, 3)


def test_a_caption_is_between_start_and_end():
    vocabulary = Vocabulary.of_words(CAPTIONS, least=2)
    ids = vocabulary.encode("The DOG chases a bone .")
    assert ids.dtype == "int32"
    np.testing.assert_array_equal(ids, [START, 6, 5, UNK, 4, UNK, END])
    assert vocabulary.decode(ids) == "the dog <unk> a <unk>"
    np.testing.assert_array_equal(vocabulary.encode(" . "), [START, END])


def test_nobody_writes_a_special_token():
    vocabulary = Vocabulary.of_words(["<end> <pad> end"])
    assert vocabulary.tokens == (*SPECIAL, "end", "pad")
    np.testing.assert_array_equal(vocabulary.encode("<end> <pad>"), [START, 4, 5, END])


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([START, 4, 5, END, 6, 6, PAD], "a dog"),
        ([4, PAD, 5], "a dog"),
        ([START, START, 4], "a"),
        ([END, 4], ""),
        ([], ""),
        ([PAD, START], ""),
    ],
)
def test_decoding_stops_at_end(ids, text):
    vocabulary = Vocabulary.of_words(CAPTIONS)
    assert vocabulary.decode(ids) == vocabulary.decode(np.array(ids, "int64")) == text


# Either


@pytest.mark.parametrize(
    "vocabulary", [Vocabulary.of_characters("né\n"), Vocabulary.of_words(["n"])]
)
def test_comes_back_from_json(vocabulary):
    stored = json.loads(json.dumps({"tokens": vocabulary.tokens, "joiner": vocabulary.joiner}))
    again = Vocabulary(**stored)
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    np.testing.assert_array_equal(again.encode("n"), vocabulary.encode("n"))


def test_what_is_refused():
    refused(lambda: Vocabulary.of_characters(""), "text", "empty")
    refused(lambda: Vocabulary.of_words([]), "captions with words are needed")
    refused(lambda: Vocabulary.of_words(["."]), "captions with words are needed")
    refused(lambda: Vocabulary.of_words(CAPTIONS, least=4), "4 times", "one 3 times", "lower")
    refused(lambda: Vocabulary.of_characters("ab").decode([0, 2, 5]), "2 is not an id", "0 to 1")
    refused(lambda: Vocabulary.of_words(CAPTIONS).decode([1, -1]), "-1 is not an id", "0 to 11")
    refused(lambda: Vocabulary(("a", "b", "a"), ""), "'a' twice")
    refused(lambda: Vocabulary(("a", "bc"), ""), "'bc'")
    refused(lambda: Vocabulary(("a", "b"), " "), "<pad>, <start>, <end>, <unk>", "'a', 'b'")
    refused(lambda: Vocabulary(("a", "b"), "-"), "joiner", "'-'")


def test_repr():
    assert repr(Vocabulary.of_characters("hello world")) == (
        "Vocabulary(8 characters: (' ', 'd', 'e', 'h', 'l', 'o', ...))"
    )
    assert repr(Vocabulary.of_words(CAPTIONS, least=3)) == (
        "Vocabulary(6 words: ('<pad>', '<start>', '<end>', '<unk>', 'a', 'dog'))"
    )
    assert repr(Vocabulary((), "")) == "Vocabulary(0 characters: ())"
