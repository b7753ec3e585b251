"""What a model makes of a split: logits once, and everything that is counted from them."""

import dataclasses

import numpy as np

ROUNDED = 1e-2  # by which the sum of probabilities in bfloat16 may miss 1


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Logits (n, classes) float32 and labels (n,) int32 of a split, in its order.

    `loss_name` is the loss they were trained for: softmax or hinge.
    """

    logits: np.ndarray
    labels: np.ndarray
    loss_name: str = "softmax"

    @property
    def log_probabilities(self):
        """Log-softmax of the logits in float64: (n, classes)."""
        logits = self.logits.astype("float64")
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    @property
    def predictions(self):
        """The likeliest class of each example: (n,)."""
        return self.logits.argmax(axis=1)

    @property
    def accuracy(self):
        """The share of right predictions."""
        return float((self.predictions == self.labels).mean())

    @property
    def loss(self):
        """Mean cross-entropy in nats, or for hinge the mean multiclass SVM loss."""
        if self.loss_name == "softmax":
            return float(-self._of_labels(self.log_probabilities).mean())
        logits = self.logits.astype("float64")
        margins = np.maximum(logits - self._of_labels(logits)[:, None] + 1, 0)
        return float(margins.sum(axis=1).mean()) - 1  # the right class' own margin

    @property
    def confusion(self):
        """Counts (classes, classes): row the true class, column the predicted one."""
        classes = self.logits.shape[1]
        pairs = self.labels.astype("int64") * classes + self.predictions
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def probabilities(self):
        """Softmax of the logits in float64: (n, classes)."""
        return np.exp(self.log_probabilities)

    @property
    def top5_accuracy(self):
        """The share of examples whose class is among the five likeliest; None below 6 classes."""
        from sklearn.metrics import top_k_accuracy_score

        classes = self.logits.shape[1]
        if classes < 6:  # of five, every answer would be right
            return None
        return float(top_k_accuracy_score(self.labels, self.logits, k=5, labels=range(classes)))

    def by_class(self):
        """Precision, recall and F1 of each class, and its examples.

        As scikit-learn's precision_recall_fscore_support with zero_division=nan: precision is
        undefined for a class that is never predicted, recall for one without examples.

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

    def macro(self):
        """The means of `by_class` over the classes that have examples, where they are defined."""
        scores = self.by_class()
        there = scores.pop("support") > 0
        defined = {name: values[there & ~np.isnan(values)] for name, values in scores.items()}
        return {name: float(v.mean()) if v.size else None for name, v in defined.items()}

    def confident_mistakes(self, count):
        """The wrong predictions made with the highest probability: (examples, probabilities)."""
        probability = np.exp(self.log_probabilities.max(axis=1))
        wrong = np.flatnonzero(self.predictions != self.labels)
        worst = wrong[np.argsort(-probability[wrong], kind="stable")][:count]
        return worst, probability[worst]

    def _of_labels(self, values):
        return values[np.arange(len(self.labels)), self.labels]


def evaluate(model, split, batches, loss_name="softmax"):
    """`model` on every example of `split`, whose evaluation stream is `batches`."""
    scores = model.predict(batches, verbose=0)[: len(split)]
    return Evaluation(as_logits(np.asarray(scores, "float32")), split.labels, loss_name)


def as_logits(scores):
    """Turn a model's outputs into logits: the logarithm, if each row is a distribution.

    Args:
        scores: float32 array (n, classes), logits or probabilities.

    Returns:
        float32 array (n, classes), whose softmax the model's probabilities are. A probability of 0
        counts as the smallest normal number, so that the loss stays finite.
    """
    sums = scores.sum(axis=1)
    if len(scores) and (scores >= 0).all() and (abs(sums - 1) < ROUNDED).all():
        return np.log(np.maximum(scores, np.finfo("float32").tiny))
    return scores


def evaluate_held_out(model, dataset, batches, loss_name="softmax"):
    """`model` on the validation and the test split, None where there is none.

    `batches(split)` is the evaluation stream of a split.
    """
    return [
        split and evaluate(model, split, batches(split), loss_name)
        for split in (dataset.validation, dataset.test)
    ]
