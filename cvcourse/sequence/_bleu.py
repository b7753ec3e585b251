"""BLEU: precision of a sentence's n-grams, counted in reference sentences.

Papineni, Roukos, Ward and Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation",
ACL 2002; https://aclanthology.org/P02-1040. Counted by sacrebleu (Post, WMT 2018).
"""

import itertools
import math
from collections.abc import Sequence

ORDER = 4  # the longest n-grams; section 2.3


def bleu(
    hypotheses: Sequence[str | Sequence[str]],
    references: Sequence[Sequence[str | Sequence[str]]],
) -> dict[str, float]:
    """Compute BLEU-1 to BLEU-4 of a corpus, without smoothing.

    BLEU-n is the geometric mean of the clipped precisions of 1- to n-grams, times the brevity
    penalty exp(1 - r/c) if c < r. c is the number of words of all hypotheses, and r the number of
    words of the references nearest in length (of the shorter of two equally near ones). BLEU-n is 0
    if no n-gram matches.

    Args:
        hypotheses: n sentences, each a list of words or a text with spaces between words. Sentences
            are compared unchanged: fold case and drop punctuation first.
        references: n lists of one or more sentences each; their numbers may differ.

    Returns:
        {"bleu1": ..., ..., "bleu4": ...}, each 0 to 1.

    Raises:
        ValueError: If there are no hypotheses, or one has no reference.

    >>> scores = bleu(["a red square"], [["the red square", "a square"]])
    >>> round(scores["bleu1"], 4), round(scores["bleu2"], 4)
    (1.0, 0.7071)
    """
    from sacrebleu.metrics import BLEU

    references = list(references)
    for i, several in enumerate(references):
        if isinstance(several, str) or not len(several):
            raise ValueError(f"references[{i}] is {several!r}; one reference or more are needed")
    if not len(hypotheses) or len(hypotheses) != len(references):
        raise ValueError(
            f"received {len(hypotheses)} hypotheses and references of {len(references)}; "
            "equal numbers of at least 1 are needed"
        )
    # sacrebleu takes the first reference of each, then the second, ...; None for a missing one:
    # "" would count as a reference of no words, and as the nearest in length.
    columns = itertools.zip_longest(*[map(_text, several) for several in references])
    counter = BLEU(tokenize="none", smooth_method="none", max_ngram_order=ORDER, force=True)
    score = counter.corpus_score([_text(hypothesis) for hypothesis in hypotheses], list(columns))
    counts = zip(score.counts, score.totals, strict=True)
    precisions = [matches / max(total, 1) for matches, total in counts]
    return {
        f"bleu{n}": score.bp * math.prod(precisions[:n]) ** (1 / n) for n in range(1, ORDER + 1)
    }


def _text(sentence):
    return sentence if isinstance(sentence, str) else " ".join(sentence)
