"""Losses of scores, with their gradients: softmax, and four forms of the SVM loss.

CS231n notes, https://cs231n.github.io/linear-classify. The forms of the SVM loss of an example with
scores s and class y, with margin 1:

* weston_watkins: sum over the wrong classes j of max(0, s_j - s_y + 1); Weston & Watkins 1999. The
  notes' multiclass SVM loss.
* squared: the sum of the squares of these terms.
* crammer_singer: max(0, max over the wrong classes of s_j - s_y + 1); Crammer & Singer 2001,
  https://jmlr.org/papers/v2/crammer01a.html.
* one_vs_all: sum over all classes of max(0, 1 - t_j s_j), where t is 1 for y and -1 elsewhere: a
  binary SVM for each class.

A loss is the mean over the examples. Naive versions loop over examples and classes.
"""

import numpy as np

from cvcourse.classic.shapes import floating, sizes

FORMS = ("weston_watkins", "squared", "crammer_singer", "one_vs_all")


def softmax_loss(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute the cross-entropy of the softmax of scores, and its gradient.

    Args:
        scores: Scores, (N, C).
        y: Class numbers, (N,).

    Returns:
        The loss, and its gradient with respect to the scores.

    >>> loss, gradient = softmax_loss(np.array([[0.0, 0.0]]), np.array([1]))
    >>> round(loss, 4), gradient
    (0.6931, array([[ 0.5, -0.5]]))
    """
    scores, rows = floating(scores), _rows(scores, y)
    # The largest score becomes 0: the notes' shift, against overflow.
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(logarithms)
    gradient[rows, y] -= 1
    return float(-logarithms[rows, y].mean()), gradient / len(scores)


def softmax_loss_naive(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute `softmax_loss` with loops.

    Args:
        scores: Scores, (N, C).
        y: Class numbers, (N,).

    Returns:
        The loss, and its gradient with respect to the scores.

    >>> round(softmax_loss_naive(np.array([[0.0, 0.0]]), np.array([1]))[0], 4)
    0.6931
    """
    scores = floating(scores)
    _rows(scores, y)
    loss, gradient = 0.0, np.zeros_like(scores)
    for i, (row, label) in enumerate(zip(scores, y, strict=True)):
        powers = [np.exp(score - max(row)) for score in row]
        loss -= (row[label] - max(row) - np.log(sum(powers))) / len(scores)
        for j, power in enumerate(powers):
            gradient[i, j] = (power / sum(powers) - (j == label)) / len(scores)
    return float(loss), gradient


def svm_loss(
    scores: np.ndarray, y: np.ndarray, margin: float = 1.0, form: str = "weston_watkins"
) -> tuple[float, np.ndarray]:
    """Compute an SVM loss of scores, and its gradient.

    Args:
        scores: Scores, (N, C).
        y: Class numbers, (N,).
        margin: Amount by which the score of the true class should exceed every other score.
        form: One of FORMS.

    Returns:
        The loss, and its gradient with respect to the scores; at a kink, that of the flat side.

    >>> svm_loss(np.array([[13.0, -7.0, 11.0]]), np.array([0]), margin=10)  # the notes' example
    (8.0, array([[-1.,  0.,  1.]]))
    """
    scores, rows = floating(scores), _rows(scores, y)
    _check_form(form)
    right = np.zeros(scores.shape, bool)
    right[rows, y] = True
    if form == "one_vs_all":
        signs = np.where(right, -1, 1).astype(scores.dtype)
        terms = np.maximum(0, margin + signs * scores)
        gradient = signs * (terms > 0)
        return float(terms.sum() / len(scores)), gradient / len(scores)
    terms = np.maximum(0, scores - scores[rows, y][:, None] + margin)
    terms[right] = 0
    if form == "crammer_singer":
        worst = np.zeros_like(right)
        worst[rows, terms.argmax(axis=1)] = True
        terms *= worst
    squared = form == "squared"
    slopes = 2 * terms if squared else (terms > 0).astype(scores.dtype)
    slopes[rows, y] = -slopes.sum(axis=1)
    loss = (terms**2 if squared else terms).sum() / len(scores)
    return float(loss), slopes / len(scores)


def svm_loss_naive(
    scores: np.ndarray, y: np.ndarray, margin: float = 1.0, form: str = "weston_watkins"
) -> tuple[float, np.ndarray]:
    """Compute `svm_loss` with loops.

    Args:
        scores: Scores, (N, C).
        y: Class numbers, (N,).
        margin: Amount by which the score of the true class should exceed every other score.
        form: One of FORMS.

    Returns:
        The loss, and its gradient with respect to the scores; at a kink, that of the flat side.

    >>> svm_loss_naive(np.array([[13.0, -7.0, 11.0]]), np.array([0]), margin=10)[0]
    8.0
    """
    scores = floating(scores)
    _rows(scores, y)
    _check_form(form)
    loss, gradient = 0.0, np.zeros_like(scores)
    for i, (row, label) in enumerate(zip(scores, y, strict=True)):
        if form == "one_vs_all":
            for j, score in enumerate(row):
                sign = -1 if j == label else 1
                if not margin + sign * score <= 0:  # a score may be NaN
                    loss += margin + sign * score
                    gradient[i, j] += sign
            continue
        wrong = [j for j in range(len(row)) if j != label]
        if form == "crammer_singer" and wrong:
            wrong = [max(wrong, key=row.__getitem__)]
        for j in wrong:
            term = row[j] - row[label] + margin
            if not term <= 0:  # a score may be NaN
                slope = 2 * term if form == "squared" else 1
                loss += term**2 if form == "squared" else term
                gradient[i, j] += slope
                gradient[i, label] -= slope
    return float(loss / len(scores)), gradient / len(scores)


def _rows(scores, y):
    """Check scores and labels; return the row numbers, which index with y the true scores."""
    y = np.asarray(y)
    sizes("scores N C, y N", scores, y)
    if not len(y):
        raise ValueError(f"no examples: scores {scores.shape}, y {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"y has {y.dtype} values; it has class numbers, integers")
    if y.min() < 0 or y.max() >= scores.shape[1]:
        raise ValueError(
            f"y has values from {y.min()} to {y.max()}; it has class numbers from 0 to "
            f"{scores.shape[1] - 1}, the columns of scores {scores.shape}"
        )
    return np.arange(len(y))


def _check_form(form):
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; it is one of {', '.join(FORMS)}")
