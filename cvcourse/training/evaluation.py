"""Evaluation of a model on a split: logits are computed once, and all metrics from them."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

ROUNDED = 1e-2  # tolerance for the sum of probabilities, which bfloat16 rounds


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Logits and labels of the examples of a split, in its order, and the metrics.

    Args:
        logits: float32 array (n, classes).
        labels: int32 array (n,) of class numbers.
        loss_name: Loss that the model was trained with: "softmax" (cross-entropy) or "hinge"
            (multiclass SVM loss).

    >>> import numpy as np
    >>> logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], "float32")
    >>> evaluation = Evaluation(logits, np.array([0, 1, 1], "int32"))
    >>> evaluation
    Evaluation(accuracy=0.6667, loss=1.1629, examples=3, classes=2, loss_name='softmax')
    >>> evaluation.confusion
    array([[1, 0],
           [1, 1]])
    """

    logits: np.ndarray
    labels: np.ndarray
    loss_name: str = "softmax"

    def __repr__(self):
        examples, classes = self.logits.shape
        return (
            f"Evaluation(accuracy={self.accuracy:.4f}, loss={self.loss:.4f}, {examples=}, "
            f"{classes=}, loss_name={self.loss_name!r})"
        )

    @property
    def log_probabilities(self) -> np.ndarray:
        """Log-softmax of the logits in float64: (n, classes)."""
        logits = self.logits.astype("float64")
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    @property
    def predictions(self) -> np.ndarray:
        """Most likely class of each example: (n,)."""
        return self.logits.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return float((self.predictions == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats; for "hinge", mean multiclass SVM loss."""
        if self.loss_name == "softmax":
            return float(-self._of_labels(self.log_probabilities).mean())
        logits = self.logits.astype("float64")
        margins = np.maximum(logits - self._of_labels(logits)[:, None] + 1, 0)
        return float(margins.sum(axis=1).mean()) - 1  # the correct class' own margin

    @property
    def confusion(self) -> np.ndarray:
        """Counts (classes, classes): true classes by rows, predicted classes by columns."""
        classes = self.logits.shape[1]
        pairs = self.labels.astype("int64") * classes + self.predictions
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits in float64: (n, classes)."""
        return np.exp(self.log_probabilities)

    @property
    def top5_accuracy(self) -> float | None:
        """Share of examples whose class is among the five most likely; None below 6 classes."""
        from sklearn.metrics import top_k_accuracy_score

        classes = self.logits.shape[1]
        if classes < 6:  # with five, every prediction would be correct
            return None
        return float(top_k_accuracy_score(self.labels, self.logits, k=5, labels=range(classes)))

    def by_class(self) -> dict[str, np.ndarray]:
        """Return precision, recall and F1 of each class, and its number of examples.

        Equal to scikit-learn's precision_recall_fscore_support with zero_division=nan: precision is
        undefined for a class that is never predicted, recall for a class without examples.

        Returns:
            A dict of arrays (classes,): precision, recall, f1, all NaN where undefined, and
            support, the number of examples.
        """
        from sklearn.metrics import precision_recall_fscore_support

        scores = precision_recall_fscore_support(
            self.labels,
            self.predictions,
            labels=range(self.logits.shape[1]),
            zero_division=np.nan,
        )
        return dict(zip(("precision", "recall", "f1", "support"), scores, strict=True))

    def macro(self) -> dict[str, float | None]:
        """Return the means of `by_class` over the classes with examples, where defined."""
        scores = self.by_class()
        there = scores.pop("support") > 0
        defined = {name: values[there & ~np.isnan(values)] for name, values in scores.items()}
        return {name: float(v.mean()) if v.size else None for name, v in defined.items()}

    def confident_mistakes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the wrong predictions with the highest probability.

        Args:
            count: Maximum number of predictions.

        Returns:
            A pair of arrays, highest probability first: indices of the examples, and probabilities
            of the predicted classes.
        """
        probability = np.exp(self.log_probabilities.max(axis=1))
        wrong = np.flatnonzero(self.predictions != self.labels)
        worst = wrong[np.argsort(-probability[wrong], kind="stable")][:count]
        return worst, probability[worst]

    def _of_labels(self, values):
        return values[np.arange(len(self.labels)), self.labels]


def evaluate(
    model: keras.Model, split: Any, batches: Iterable, loss_name: str = "softmax"
) -> Evaluation:
    """Evaluate a model on every example of a split.

    Args:
        model: keras.Model: (batch, h, w, c) -> logits or probabilities (batch, classes).
        split: Split of the examples, with `labels` (n,).
        batches: Batches of the split in order, such as `data.stream(split, shuffle=False, …)`. The
            last one may be padded with further examples.
        loss_name: Loss that the model was trained with: "softmax" or "hinge".

    Returns:
        Evaluation of the n examples.

    >>> import keras
    >>> from cvcourse import data, models
    >>> digits = data.load("digits", limit=40).validation
    >>> _ = keras.utils.set_random_seed(0)
    >>> model = models.build("linear", input_shape=(8, 8, 1), num_classes=10)
    >>> batches = data.stream(digits, batch_size=16, seed=0, shuffle=False)
    >>> evaluate(model, digits, batches).logits.shape
    (40, 10)
    """
    scores = model.predict(batches, verbose=0)[: len(split)]
    return Evaluation(as_logits(np.asarray(scores, "float32")), split.labels, loss_name)


def as_logits(scores):
    """Convert a model's outputs to logits: take the logarithm if they are probabilities.

    Args:
        scores: float32 array (n, classes), logits or probabilities.

    Returns:
        float32 array (n, classes) whose softmax is the model's probabilities. A probability of 0 is
        replaced by the smallest normal number, so that the loss stays finite.
    """
    sums = scores.sum(axis=1)
    if len(scores) and (scores >= 0).all() and (abs(sums - 1) < ROUNDED).all():
        return np.log(np.maximum(scores, np.finfo("float32").tiny))
    return scores


def evaluate_held_out(model, dataset, batches, loss_name="softmax"):
    """Evaluate a model on the validation and the test split.

    Args:
        model: As in `evaluate`.
        dataset: Dataset.
        batches: Function (split) -> its batches in order.
        loss_name: As in `evaluate`.

    Returns:
        A list of two Evaluations; None for a split that the dataset does not have.
    """
    return [
        split and evaluate(model, split, batches(split), loss_name)
        for split in (dataset.validation, dataset.test)
    ]
