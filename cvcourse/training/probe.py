"""Probes: simple classifiers on a frozen network's features.

Alain & Bengio, "Understanding intermediate layers using linear classifier probes", 2016,
https://arxiv.org/abs/1610.01644. The setting of a probe is chosen by cross-validation within the
training split, so that the validation split stays unseen.
"""

import dataclasses
import functools
import os
from concurrent import futures

import numpy as np

from cvcourse.errors import RunError

FOLDS = 5
GRIDS = {  # classifier: its setting, and the values to try, the most regularized one first
    "svm": ("C", (0.1, 0.3, 1.0, 3.0, 10.0)),
    "softmax": ("C", (1.0, 3.0, 10.0, 30.0, 100.0)),
    "knn": ("k", (15, 9, 5, 3, 1)),
}


@dataclasses.dataclass(frozen=True)
class Probe:
    """A fitted classifier of feature vectors, linear or nearest neighbors.

    Args:
        classifier: "svm", "softmax" or "knn".
        setting: Its setting, such as "C=0.1".
        accuracy: Cross-validation accuracy.
        kernel: Array (c, classes) of a linear classifier.
        bias: Array (classes,) of a linear classifier.
        vectors: Training vectors (n, c) of nearest neighbors, scaled to length 1.
        labels: Class numbers (n,) of the vectors.
        neighbors: Number of nearest neighbors that vote.
        classes: Number of classes, for nearest neighbors.
    """

    classifier: str
    setting: str
    accuracy: float = 0.0
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None
    vectors: np.ndarray | None = None
    labels: np.ndarray | None = None
    neighbors: int = 0
    classes: int = 0

    def __repr__(self):
        return f"Probe({self.classifier}, {self.setting}, accuracy={self.accuracy:.4f})"

    @property
    def summary(self):
        """Dict for a metrics file: classifier, setting and cross-validation accuracy."""
        return {
            "classifier": self.classifier,
            "setting": self.setting,
            "cross_validation_accuracy": self.accuracy,
        }

    @property
    def weights(self):
        """Weights of the equivalent layer: Dense, or NearestNeighbors."""
        if self.kernel is not None:
            return [self.kernel, self.bias]
        return [self.vectors, np.eye(self.classes)[self.labels]]

    def logits(self, features):
        """Compute logits: (n, c) -> (n, classes). For knn, the log of the smoothed vote shares."""
        if self.kernel is not None:
            return features @ self.kernel + self.bias
        nearest = np.argsort(-(unit(features) @ self.vectors.T), axis=1, kind="stable")
        votes = np.eye(self.classes)[self.labels[nearest[:, : self.neighbors]]].sum(axis=1)
        return np.log((votes + 0.5) / (self.neighbors + 0.5 * self.classes))


def fit_probe(
    classifier: str,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a classifier of features, with the setting that cross-validation chooses.

    Args:
        classifier: "svm" (linear, one-vs-rest), "softmax", "knn" (by cosine similarity), or
            "auto" for the best of the three.
        features: Array (n, c).
        labels: Class numbers (n,).
        num_classes: Number of classes. If None, the largest label plus one.
        seed: Seed of the folds.

    Returns:
        A fitted `Probe`.

    Raises:
        RunError: If a class has fewer than two images, or there is only one class.

    >>> import numpy as np
    >>> labels = np.arange(20) % 2
    >>> features = np.random.default_rng(0).normal(size=(20, 3)) + 9 * labels[:, None]
    >>> fit_probe("svm", features, labels)
    Probe(svm, C=0.1, accuracy=1.0000)
    """
    counts = np.bincount(labels, minlength=num_classes or 0)
    _require_two_classes_of_two(counts)
    if classifier == "auto":
        tried = [fit_probe(name, features, labels, seed=seed) for name in GRIDS]
        return max(tried, key=lambda probe: probe.accuracy)
    import threadpoolctl

    folds = _folds(labels, min(FOLDS, counts.min()), seed)
    values = GRIDS[classifier][1]
    # One thread for each value, and one in each matrix product: the matrices are small, and with
    # other processes running, threads that wait for each other take many times as long.
    with threadpoolctl.threadpool_limits(1), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        on_folds = functools.partial(_on_folds, classifier, features, labels, folds)
        logits = list(pool.map(on_folds, values))
        scores = [(one.argmax(axis=1) == labels).mean() for one in logits]
        best = int(np.argmax(scores))  # the first of equal ones
        probe = _fitted(classifier, values[best], features, labels)
    if classifier == "svm":  # scale the margins to calibrated logits
        scale = _temperature(logits[best], labels)
        probe = dataclasses.replace(probe, kernel=probe.kernel * scale, bias=probe.bias * scale)
    return dataclasses.replace(probe, accuracy=float(scores[best]))


def unit(features):
    """Scale vectors to length 1: (n, c) -> (n, c)."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _require_two_classes_of_two(counts):
    """Raise RunError unless there are two classes of two images each, or more."""
    if len(counts) < 2:
        raise RunError(f"a probe needs at least two classes; received {len(counts)}")
    if counts.min() < 2:
        has = "one training image" if counts.min() else "no training image"
        raise RunError(
            f"class {counts.argmin()} has {has}: a probe needs at least two images per class"
        )


def _folds(labels, folds, seed):
    from sklearn.model_selection import StratifiedKFold

    several = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return list(several.split(labels, labels))


def _on_folds(classifier, features, labels, folds, value):
    """Compute logits (n, classes) of every example, by the classifier fitted without its fold."""
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
    """Fit a linear classifier to centered features: (kernel, bias)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    model = {
        # dual=False, since the dual form has a random generator that all threads share.
        "svm": lambda: LinearSVC(C=value, max_iter=5000, dual=False),
        "softmax": lambda: LogisticRegression(C=value, max_iter=1000),
    }[classifier]()
    mean = features.mean(axis=0)
    model.fit(features - mean, labels)
    kernel, bias = model.coef_.T, model.intercept_
    if kernel.shape[1] == 1:  # two classes have one decision function
        kernel, bias = kernel * [-0.5, 0.5], bias * [-0.5, 0.5]
    return kernel, bias - mean @ kernel


def _temperature(logits, labels):
    """Find the factor of the logits with the smallest NLL (Guo et al. 2017, section 4.2)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def nll(log_scale):
        scaled = log_softmax(np.exp(log_scale) * logits, axis=1)
        return -scaled[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(nll, bounds=(-3, 5), method="bounded").x))
