"""Calibration: of the predictions with confidence 80 %, four in five should be correct.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
https://arxiv.org/abs/1706.04599. Functions take probabilities (n, classes) and labels (n,), or
log-probabilities where small probabilities would underflow: e^-746 is 0 in float64.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike

BINS = 15  # section 5: M = 15
ROUNDING = 1e-6  # by which the log of a mean may exceed 0


def accuracy(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Compute the share of examples whose most probable class is the true one.

    Args:
        probabilities: Probabilities, their logs or logits (n, classes).
        labels: Class numbers (n,).

    Returns:
        A float of 0..1.

    >>> accuracy([[0.9, 0.1], [0.8, 0.2]], [0, 1])
    0.5
    """
    return float((np.argmax(probabilities, axis=1) == labels).mean())


def negative_log_likelihood(log_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Compute the mean of -log p(true class).

    Args:
        log_probabilities: (n, classes), such as the log-softmax of logits.
        labels: Class numbers (n,).

    Returns:
        A float in nats; infinite if a true class has probability 0.

    Raises:
        ValueError: If probabilities are received instead of their logs.

    >>> round(negative_log_likelihood(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 1]), 4)
    0.4904
    """
    log_probabilities, labels = np.asarray(log_probabilities), np.asarray(labels)
    if np.max(log_probabilities, initial=-np.inf) > ROUNDING:
        raise ValueError(
            "negative_log_likelihood needs log-probabilities, which are at most 0; received "
            f"{np.max(log_probabilities):g}: pass np.log of probabilities"
        )
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def log_mean(members: ArrayLike) -> np.ndarray:
    """Compute the log of the mean of the members' probabilities.

    Args:
        members: Log-probabilities (members, n, classes).

    Returns:
        Log-probabilities of the ensemble (n, classes).

    >>> np.exp(log_mean(np.log([[[0.9, 0.1]], [[0.5, 0.5]]]))).round(3)
    array([[0.7, 0.3]])
    """
    members = np.asarray(members)
    return np.logaddexp.reduce(members, axis=0) - np.log(len(members))


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin examples by confidence, in equal parts of (0, 1]. Guo et al., eqs. 1 and 2.

    Args:
        probabilities: Probabilities (n, classes).
        labels: Class numbers (n,).
        bins: Number of bins.

    Returns:
        Three arrays (bins,): counts, mean confidences and accuracies; the latter two are 0 in an
        empty bin.

    >>> reliability([[0.9, 0.1], [0.8, 0.2]], [0, 1], bins=2)
    (array([0, 2]), array([0.  , 0.85]), array([0. , 0.5]))
    """
    confidence = np.max(probabilities, axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    # A bin includes its upper edge and not its lower one: ((m - 1)/M, m/M].
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, confidences, rights = (
        np.bincount(place, weights, minlength=bins) for weights in (None, confidence, right)
    )
    total = np.maximum(counts, 1)
    return counts, confidences / total, rights / total


def reliability_of_mean(
    members: ArrayLike, labels: ArrayLike, *, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute `reliability` of the mean of the members' probabilities.

    Args:
        members: Log-probabilities (members, n, classes).
        labels: Class numbers (n,).
        bins: Number of bins.

    Returns:
        Three arrays (bins,): counts, mean confidences and accuracies.

    >>> members = np.log([[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> counts, confidences, accuracies = reliability_of_mean(members, [0], bins=2)
    >>> counts, confidences.round(3), accuracies
    (array([0, 1]), array([0. , 0.7]), array([0., 1.]))
    """
    return reliability(np.exp(log_mean(members)), labels, bins=bins)


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS
) -> float:
    """Compute the expected calibration error: Guo et al., eq. 3.

    Args:
        probabilities: Probabilities (n, classes).
        labels: Class numbers (n,).
        bins: Number of bins.

    Returns:
        Mean of |accuracy - confidence| over the bins, weighted by their examples: 0..1.

    >>> round(expected_calibration_error([[0.9, 0.1], [0.8, 0.2]], [0, 1], bins=2), 3)
    0.35
    """
    counts, confidences, accuracies = reliability(probabilities, labels, bins=bins)
    return float(counts @ np.abs(accuracies - confidences) / counts.sum())


def disagreement(members: ArrayLike) -> float | None:
    """Compute the share of examples on which two members predict different classes.

    Fort et al. 2019, https://arxiv.org/abs/1912.02757, section 4.

    Args:
        members: Probabilities, or their logs (members, n, classes).

    Returns:
        Mean over the pairs of members, 0..1; None for fewer than two members.

    >>> disagreement([[[0.9, 0.1], [0.8, 0.2]], [[0.7, 0.3], [0.4, 0.6]]])
    0.5
    """
    answers = np.argmax(members, axis=2)
    shares = [(one != other).mean() for one, other in itertools.combinations(answers, 2)]
    return float(np.mean(shares)) if shares else None


def measures(members: ArrayLike, labels: ArrayLike) -> dict[str, float | None]:
    """Compute all measures of this module for the mean of the members' probabilities.

    Args:
        members: Log-probabilities (members, n, classes).
        labels: Class numbers (n,).

    Returns:
        A dict: accuracy, nll (negative log-likelihood, nats), ece (expected calibration error),
        and disagreement, which is None for one member.

    Raises:
        ValueError: If probabilities are received instead of their logs.

    >>> measures(np.log([[[0.9, 0.1], [0.8, 0.2]]]), [0, 1])["accuracy"]
    0.5
    """
    mean = log_mean(members)
    return {
        "accuracy": accuracy(mean, labels),
        "nll": negative_log_likelihood(mean, labels),
        "ece": expected_calibration_error(np.exp(mean), labels),
        "disagreement": disagreement(members),
    }
