"""A linear probe: how well a simple classifier does on a frozen network's features.

Alain & Bengio, "Understanding intermediate layers using linear classifier probes", 2016,
https://arxiv.org/abs/1610.01644. Its own settings are chosen by cross-validation within the
training split, so the validation split stays unseen.
"""

import dataclasses
import functools
import os
from concurrent import futures

import numpy as np

from cvcourse.errors import RunError

FOLDS = 5
GRIDS = {  # classifier: its setting, and the values tried, the most regular one first
    "svm": ("C", (0.1, 0.3, 1.0, 3.0, 10.0)),
    "softmax": ("C", (1.0, 3.0, 10.0, 30.0, 100.0)),
    "knn": ("k", (15, 9, 5, 3, 1)),
}


@dataclasses.dataclass(frozen=True)
class Probe:
    """A fitted classifier of feature vectors.

    `kernel` (c, classes) and `bias` (classes,) give its logits; None for nearest neighbors, which
    are `vectors` (n, c) of length 1 and their `labels` (n,) instead.
    """

    classifier: str  # svm, softmax or knn
    setting: str  # such as C=0.1
    accuracy: float = 0.0  # by cross-validation
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None
    vectors: np.ndarray | None = None
    labels: np.ndarray | None = None
    neighbors: int = 0
    classes: int = 0

    @property
    def summary(self):
        """What a metrics file says of it."""
        return {
            "classifier": self.classifier,
            "setting": self.setting,
            "cross_validation_accuracy": self.accuracy,
        }

    @property
    def weights(self):
        """Those of the layer that does the same: Dense, or NearestNeighbors."""
        if self.kernel is not None:
            return [self.kernel, self.bias]
        return [self.vectors, np.eye(self.classes)[self.labels]]

    def logits(self, features):
        """(n, c) -> (n, classes): of nearest neighbors the log of their shares, smoothed."""
        if self.kernel is not None:
            return features @ self.kernel + self.bias
        nearest = np.argsort(-(unit(features) @ self.vectors.T), axis=1, kind="stable")
        votes = np.eye(self.classes)[self.labels[nearest[:, : self.neighbors]]].sum(axis=1)
        return np.log((votes + 0.5) / (self.neighbors + 0.5 * self.classes))


def fit_probe(classifier, features, labels, *, num_classes=None, seed=0):
    """Fit a classifier to features, with its best setting by cross-validation.

    Args:
        classifier: "svm" (linear, one against the rest), "softmax", "knn" (by the cosine), or
            "auto": the best of the three.
        features: Array (n, c).
        labels: Class numbers (n,).
        num_classes: Number of classes. If None, the largest label and one.
        seed: Seed of the folds.

    Returns:
        A `Probe`.

    Raises:
        RunError: If a class has fewer than two images, or there is one class.
    """
    counts = np.bincount(labels, minlength=num_classes or 0)
    _require_two_of_two(counts)
    if classifier == "auto":
        tried = [fit_probe(name, features, labels, seed=seed) for name in GRIDS]
        return max(tried, key=lambda probe: probe.accuracy)
    import threadpoolctl

    folds = _folds(labels, min(FOLDS, counts.min()), seed)
    values = GRIDS[classifier][1]
    # A thread a value and one in each product: the matrices are small, and threads that wait for
    # each other take many times as long beside another process.
    with threadpoolctl.threadpool_limits(1), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        on_folds = functools.partial(_on_folds, classifier, features, labels, folds)
        logits = list(pool.map(on_folds, values))
        scores = [(one.argmax(axis=1) == labels).mean() for one in logits]
        best = int(np.argmax(scores))  # of equals the first
        probe = _fitted(classifier, values[best], features, labels)
    if classifier == "svm":  # margins become logits whose softmax is honest
        scale = _temperature(logits[best], labels)
        probe = dataclasses.replace(probe, kernel=probe.kernel * scale, bias=probe.bias * scale)
    return dataclasses.replace(probe, accuracy=float(scores[best]))


def unit(features):
    """Vectors scaled to length 1."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _require_two_of_two(counts):
    """Raise RunError unless there are two classes of two images each, or more."""
    if len(counts) < 2:
        raise RunError(f"a probe needs two classes or more; received {len(counts)}")
    if counts.min() < 2:
        has = "one training image" if counts.min() else "no training image"
        raise RunError(
            f"class {counts.argmin()} has {has}: two or more are needed to choose a probe's "
            "settings"
        )


def _folds(labels, folds, seed):
    from sklearn.model_selection import StratifiedKFold

    several = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return list(several.split(labels, labels))


def _on_folds(classifier, features, labels, folds, value):
    """Every example's logits (n, classes) by the classifier that was fitted without its fold."""
    logits = np.empty((len(labels), int(labels.max()) + 1))
    for train, held in folds:
        probe = _fitted(classifier, value, features[train], labels[train])
        logits[held] = probe.logits(features[held])
    return logits


def _fitted(classifier, value, features, labels):
    setting = f"{GRIDS[classifier][0]}={value:g}"
    if classifier != "knn":
        kernel, bias = _linear(classifier, value, features, labels)
        return Probe(classifier, setting, kernel=kernel, bias=bias)
    return Probe(
        classifier,
        setting,
        vectors=unit(features),
        labels=labels,
        neighbors=min(value, len(labels)),
        classes=int(labels.max()) + 1,
    )


def _linear(classifier, value, features, labels):
    """The kernel and bias of a linear classifier, fitted to centered features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    model = {
        # Not the dual form: it draws from one generator for all threads.
        "svm": lambda: LinearSVC(C=value, max_iter=5000, dual=False),
        "softmax": lambda: LogisticRegression(C=value, max_iter=1000),
    }[classifier]()
    mean = features.mean(axis=0)
    model.fit(features - mean, labels)
    kernel, bias = model.coef_.T, model.intercept_
    if kernel.shape[1] == 1:  # two classes, and one number that tells them apart
        kernel, bias = kernel * [-0.5, 0.5], bias * [-0.5, 0.5]
    return kernel, bias - mean @ kernel


def _temperature(logits, labels):
    """The factor of the logits that makes the labels likeliest (Guo et al. 2017, section 4.2)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def surprise(log_scale):
        scaled = log_softmax(np.exp(log_scale) * logits, axis=1)
        return -scaled[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(surprise, bounds=(-3, 5), method="bounded").x))
