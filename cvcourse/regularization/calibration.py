"""Whether probabilities are honest: of the answers given at 80 %, four in five should be right.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
https://arxiv.org/abs/1706.04599. Functions take probabilities (n, classes) and labels (n,), or
log-probabilities where float64 has no number for small ones: e^-746 is 0.
"""

import itertools

import numpy as np

BINS = 15  # section 5: M = 15
ROUNDING = 1e-6  # by which the log of a mean may exceed 0


def accuracy(probabilities, labels):
    """The share of examples whose likeliest class is the true one."""
    return float((np.argmax(probabilities, axis=1) == labels).mean())


def negative_log_likelihood(log_probabilities, labels):
    """Mean of -log p(true class).

    Args:
        log_probabilities: (n, classes), such as the log-softmax of logits.
        labels: Class numbers (n,).

    Returns:
        A float in nats; infinite where a true class was given probability 0.

    Raises:
        ValueError: If they are probabilities.
    """
    if np.max(log_probabilities, initial=-np.inf) > ROUNDING:
        raise ValueError(
            "the likelihood is taken of log-probabilities, which are at most 0; received "
            f"{np.max(log_probabilities):g}: give np.log of probabilities"
        )
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def log_mean(members):
    """Log of the mean of members' probabilities, given their logs.

    Args:
        members: Log-probabilities (members, n, classes).

    Returns:
        Log-probabilities of the ensemble (n, classes).
    """
    return np.logaddexp.reduce(members, axis=0) - np.log(len(members))


def reliability(probabilities, labels, *, bins=BINS):
    """Counts, mean confidences and accuracies by confidence, in `bins` equal parts of (0, 1].

    Three arrays (bins,); an empty bin has confidence and accuracy 0. Guo et al., eqs. 1 and 2.
    """
    confidence = np.max(probabilities, axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    # A bin has its upper edge, not its lower one: ((m - 1)/M, m/M].
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, confidences, rights = (
        np.bincount(place, weights, minlength=bins) for weights in (None, confidence, right)
    )
    total = np.maximum(counts, 1)
    return counts, confidences / total, rights / total


def reliability_of_mean(members, labels, *, bins=BINS):
    """Compute `reliability` of the mean of members' probabilities.

    Args:
        members: Log-probabilities (members, n, classes).
        labels: Class numbers (n,).
        bins: Number of bins.

    Returns:
        What `reliability` returns.
    """
    return reliability(np.exp(log_mean(members)), labels, bins=bins)


def expected_calibration_error(probabilities, labels, *, bins=BINS):
    """Mean distance of confidence and accuracy over the examples' bins: Guo et al., eq. 3."""
    counts, confidences, accuracies = reliability(probabilities, labels, bins=bins)
    return float(counts @ np.abs(accuracies - confidences) / counts.sum())


def disagreement(members):
    """The share of examples on which two members differ, averaged over their pairs.

    `members` holds probabilities, or their logs, (members, n, classes). None for fewer than two.
    Fort et al. 2019, https://arxiv.org/abs/1912.02757, section 4.
    """
    answers = np.argmax(members, axis=2)
    shares = [(one != other).mean() for one, other in itertools.combinations(answers, 2)]
    return float(np.mean(shares)) if shares else None


def measures(members, labels):
    """All of these, of the mean of members' probabilities.

    Args:
        members: Log-probabilities (members, n, classes).
        labels: Class numbers (n,).

    Returns:
        A dict of floats: accuracy, nll (nats), ece, and disagreement, which may be None.
    """
    mean = log_mean(members)
    return {
        "accuracy": accuracy(mean, labels),
        "nll": negative_log_likelihood(mean, labels),
        "ece": expected_calibration_error(np.exp(mean), labels),
        "disagreement": disagreement(members),
    }
