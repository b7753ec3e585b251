"""What a model makes of a split: logits once, and everything that is counted from them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Logits (n, classes) float32 and labels (n,) int32 of a split, in its order."""

    logits: np.ndarray
    labels: np.ndarray

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
        """Mean cross-entropy in nats."""
        return float(-self.log_probabilities[np.arange(len(self.labels)), self.labels].mean())

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


def evaluate(model, split, batches):
    """`model` on every example of `split`, whose evaluation stream is `batches`."""
    logits = model.predict(batches, verbose=0)[: len(split)]
    return Evaluation(np.asarray(logits, "float32"), split.labels)
