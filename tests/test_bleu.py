"""BLEU against the worked examples of Papineni et al. 2002, and sums done by hand."""

import math

import pytest
from sacrebleu.metrics import BLEU

from cvcourse.sequence._bleu import bleu

# Example 1 of the paper, without case and punctuation
CANDIDATE_1 = (
    "it is a guide to action which ensures that the military always obeys the commands of the party"
)
CANDIDATE_2 = "it is to insure the troops forever hearing the activity guidebook that party direct"
REFERENCES = [
    "it is a guide to action that ensures that the military will forever heed party commands",
    "it is the guiding principle which guarantees the military forces always being under the "
    "command of the party",
    "it is the practical guide for the army always to heed the directions of the party",
]


def scores(hypotheses, references):
    return list(bleu(hypotheses, references).values())


def close(*expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_example_1_of_the_paper():
    """Section 2.1: unigram precisions 17/18 and 8/14; section 2.1.1: bigrams 10/17 and 1/13."""
    found = bleu([CANDIDATE_1], [REFERENCES])
    assert list(found) == ["bleu1", "bleu2", "bleu3", "bleu4"]
    assert (found["bleu1"], found["bleu2"]) == close(17 / 18, (17 / 18 * 10 / 17) ** (1 / 2))
    found = bleu([CANDIDATE_2], [REFERENCES])
    shorter = math.exp(1 - 16 / 14)  # both of the nearest references have 16 words
    assert (found["bleu1"], found["bleu2"]) == close(
        shorter * 8 / 14, shorter * (8 / 14 * 1 / 13) ** (1 / 2)
    )


def test_example_2_of_the_paper_is_clipped():
    """Seven times "the" is right twice, as often as in the one reference that has it most."""
    references = ["the cat is on the mat", "there is a cat on the mat"]
    assert scores(["the the the the the the the"], [references]) == close(2 / 7, 0, 0, 0)


def test_brevity_and_four_precisions_by_hand():
    # Unigrams 5/6 (not "sat"), bigrams 3/5 (the cat, on the, the mat), trigrams 1/4 (on the mat).
    hypothesis, reference = "the cat sat on the mat", "the cat is on the mat now and then"
    brevity = math.exp(1 - 9 / 6)
    assert scores([hypothesis], [[reference]]) == close(
        brevity * 5 / 6, brevity * (5 / 6 * 3 / 5) ** (1 / 2), brevity * (1 / 8) ** (1 / 3), 0
    )
    # Seven words of eight: unigrams 7/7, bigrams 5/6, trigrams 3/5, 4-grams 2/4.
    hypothesis, reference = "a b c d e g h", "a b c d e f g h"
    brevity = math.exp(1 - 8 / 7)
    assert scores([hypothesis], [[reference]])[3] == pytest.approx(
        brevity * (5 / 6 * 3 / 5 * 2 / 4) ** (1 / 4), rel=1e-12
    )


def test_counts_are_summed_over_the_corpus_before_they_are_divided():
    # Unigrams (3 + 1)/(4 + 2), bigrams (2 + 0)/(3 + 1), trigrams 1/2, 4-grams 0/1;
    # words 4 + 2 against 4 + 3.
    found = scores(["a b c x", "d y"], [["a b c d"], ["d e f"]])
    brevity = math.exp(1 - 7 / 6)
    assert found == close(
        brevity * 4 / 6,
        brevity * (4 / 6 * 2 / 4) ** (1 / 2),
        brevity * (4 / 6 * 2 / 4 * 1 / 2) ** (1 / 3),
        0,
    )


def test_numbers_of_references_may_differ():
    """Length and words come from those there are: a missing one is not one of no words."""
    found = scores(["a b", "a b c d"], [["a b c d e f"], ["x", "a b c d", "y z"]])
    brevity = math.exp(1 - (6 + 4) / (2 + 4))
    assert found == close(*[brevity] * 4)
    assert scores(["a b c d", "a b"], [["x", "a b c d", "y z"], ["a b c d e f"]]) == close(*found)


def test_the_shorter_of_two_references_as_near_counts():
    assert scores(["a b c d e"], [["a b c d e f", "a b c d"]]) == close(1, 1, 1, 1)
    assert scores(["a b c d e"], [["a b c d e f", "a b"]])[0] == pytest.approx(math.exp(1 - 6 / 5))


def test_a_perfect_one_is_1_to_the_bit():
    references = [[*REFERENCES, CANDIDATE_1], [CANDIDATE_2]]
    assert scores([CANDIDATE_1, CANDIDATE_2], references) == [1, 1, 1, 1]


def test_words_may_be_lists():
    assert bleu([CANDIDATE_1.split()], [[text.split() for text in REFERENCES]]) == bleu(
        [CANDIDATE_1], [REFERENCES]
    )


def test_words_are_compared_as_they_stand():
    assert scores(["A dog . 's"], [["a dog.'s"]]) == [0, 0, 0, 0]
    assert scores(["a , dog ."], [["a , dog ."]]) == [1, 1, 1, 1]


@pytest.mark.parametrize("hypothesis", ["", [], "x y z"])
def test_nothing_right_is_0(hypothesis):
    assert scores([hypothesis], [["a b c d"]]) == [0, 0, 0, 0]


def test_an_empty_hypothesis_only_shortens_the_corpus():
    assert scores(["a b c d", ""], [["a b c d"], ["a b"]]) == close(*[math.exp(1 - 6 / 4)] * 4)


def test_a_sentence_shorter_than_n_has_no_n_grams():
    assert scores(["a b"], [["a b"]]) == [1, 1, 0, 0]


def test_is_sacrebleu_s_own_of_each_order():
    hypotheses = [CANDIDATE_1, CANDIDATE_2, "a dog runs"]
    references = [REFERENCES, REFERENCES[:2], ["the dog runs fast"]]
    columns = [[REFERENCES[0]] * 2 + ["the dog runs fast"], [REFERENCES[1]] * 2 + [None]]
    columns.append([REFERENCES[2], None, None])
    for n, found in enumerate(scores(hypotheses, references), 1):
        theirs = BLEU(tokenize="none", smooth_method="none", max_ngram_order=n)
        assert 100 * found == pytest.approx(theirs.corpus_score(hypotheses, columns).score)
        assert found > 0.2


@pytest.mark.parametrize(
    ("hypotheses", "references", "parts"),
    [
        ([], [], ("0 hypotheses", "of 0", "at least 1")),
        (["a"], [["a"], ["b"]], ("1 hypotheses", "of 2", "equal numbers")),
        (["a", "b"], [["a"], []], ("references[1] is []",)),
        (["a", "b"], ["a", "b"], ("references[0] is 'a'",)),
    ],
)
def test_what_is_refused(hypotheses, references, parts):
    with pytest.raises(ValueError) as caught:
        bleu(hypotheses, references)
    assert [part for part in parts if part not in str(caught.value)] == []
