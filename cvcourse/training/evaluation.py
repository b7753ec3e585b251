"""What a model makes of a split: logits once, and everything that is counted from them."""

import dataclasses

import numpy as np


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
    logits = model.predict(batches, verbose=0)[: len(split)]
    return Evaluation(np.asarray(logits, "float32"), split.labels, loss_name)


def evaluate_held_out(model, dataset, batches, loss_name="softmax"):
    """`model` on the validation and the test split, None where there is none.

    `batches(split)` is the evaluation stream of a split.
    """
    return [
        split and evaluate(model, split, batches(split), loss_name)
        for split in (dataset.validation, dataset.test)
    ]
