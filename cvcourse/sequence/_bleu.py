"""BLEU: how many of a sentence's word sequences occur in what people wrote of the same photo.

Papineni, Roukos, Ward and Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation",
ACL 2002; https://aclanthology.org/P02-1040. Counted by sacrebleu (Post, WMT 2018).
"""

import itertools
import math

ORDER = 4  # the longest n-grams; section 2.3


def bleu(hypotheses, references):
    """{"bleu1": ..., ..., "bleu4": ...}, each 0 to 1, of n sentences against n lists of references.

    A sentence is a list of words, or one text with blanks between them; it is compared as it
    stands, so fold case and drop punctuation first. There may be more references of one than of
    another. Of the whole corpus, BLEU-n is the geometric mean of the clipped precisions of 1- to
    n-grams, times the brevity penalty exp(1 - r/c) where c, the words of all hypotheses, are fewer
    than r, those of the references nearest in length (the shorter of two as near). Not smoothed: 0
    where no n-gram matches. Raises ValueError for no hypotheses, or where one has no reference.
    """
    from sacrebleu.metrics import BLEU

    references = list(references)
    for i, several in enumerate(references):
        if isinstance(several, str) or not len(several):
            raise ValueError(f"references[{i}] is {several!r}; one reference or more are needed")
    if not len(hypotheses) or len(hypotheses) != len(references):
        raise ValueError(
            f"received {len(hypotheses)} hypotheses and references of {len(references)}; "
            "one or more, and as many, are needed"
        )
    # sacrebleu wants the first reference of each, then the second, ...; None where there is none.
    # "" would not do: it counts as a reference of no words, and as the nearest in length.
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
