"""Linear classifiers: scores X W, a loss, a penalty, and stochastic gradient descent.

The last value of an example is 1, so that the last row of W is the bias (`bias_trick`). Losses are
those of `cvcourse.classic.losses`, penalties those of `cvcourse.classic.regularization`. CS231n
notes, https://cs231n.github.io/linear-classify and https://cs231n.github.io/optimization-1; the
names are those of assignment 1.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cvcourse.classic import losses
from cvcourse.classic.regularization import PENALTIES, max_norm
from cvcourse.classic.shapes import floating, sizes


def bias_trick(X: np.ndarray) -> np.ndarray:
    """Append a column of ones, whose weights are the biases.

    Args:
        X: Examples, (N, D).

    Returns:
        (N, D + 1).

    >>> bias_trick(np.zeros((2, 1)))
    array([[0., 1.],
           [0., 1.]])
    """
    return np.concatenate([X, np.ones((len(X), 1), X.dtype)], axis=1)


class LinearClassifier:
    """A linear classifier with weights W, (D, C).

    Args:
        data_loss: Function (scores (N, C), y (N,)) -> loss and its gradient.
        penalty: Key of regularization.PENALTIES. It includes the bias, as in the assignment.
        norm: Largest norm of a column of W, see `max_norm`; None for no constraint.
        seed: Random seed of initial weights and minibatches.

    >>> X, y = np.array([[-1.0, 1.0], [1.0, 1.0]]), np.array([0, 1])
    >>> classifier = LinearClassifier(losses.softmax_loss)
    >>> history = classifier.train(X, y, learning_rate=0.1)
    >>> classifier.predict(X)
    array([0, 1])
    """

    W: np.ndarray | None = None

    def __init__(
        self, data_loss: Callable, penalty: str = "l2", norm: float | None = None, seed: int = 0
    ):
        if penalty not in PENALTIES:
            raise ValueError(f"penalty is {penalty!r}; it is one of {', '.join(PENALTIES)}")
        self.data_loss, self.penalty, self.norm = data_loss, PENALTIES[penalty], norm
        self.rng = np.random.default_rng(seed)

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of examples X (N, D): (N, C)."""
        if self.W is None:
            raise ValueError("there are no weights yet: call train first, or set W")
        sizes("X N D, W D C", X, self.W)
        return X @ self.W

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class with the largest score, for examples X (N, D): (N,)."""
        return self.scores(X).argmax(axis=1)

    def loss(
        self, X_batch: np.ndarray, y_batch: np.ndarray, reg: float | Sequence[float] = 0.0
    ) -> tuple[float, np.ndarray]:
        """Compute the loss of examples with the penalty, and its gradient with respect to W.

        Args:
            X_batch: Examples, (N, D).
            y_batch: Class numbers, (N,).
            reg: Strength of the penalty; of elastic_net the two of L1 and L2.

        Returns:
            The loss, and its gradient, (D, C).
        """
        if np.size(reg) != (2 if self.penalty is PENALTIES["elastic_net"] else 1):
            raise ValueError(f"reg is {reg}; elastic_net has two strengths, other penalties one")
        loss, dscores = self.data_loss(self.scores(X_batch), y_batch)
        penalty, gradient = self.penalty(self.W, *np.ravel(reg).tolist())
        return loss + penalty, X_batch.T @ dscores + gradient

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        learning_rate: float = 1e-3,
        reg: float | Sequence[float] = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
    ) -> list[float]:
        """Take steps against the gradient of minibatches, which are drawn with replacement.

        The first call draws small random weights; later calls continue.

        Args:
            X: Examples, (N, D).
            y: Numbers of the classes 0 to C - 1, (N,); C is found from the largest.
            learning_rate: Factor of the gradient in a step.
            reg: Strength of the penalty, as for `loss`.
            num_iters: Number of steps.
            batch_size: Number of examples in a step.

        Returns:
            The loss before each step.
        """
        sizes("X N D, y N", X, y)
        X, y = floating(X), np.asarray(y)
        if not len(y) or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(f"y {y.shape} of {y.dtype}; it has one or more class numbers from 0")
        if self.W is None:
            shape = X.shape[1], int(np.max(y)) + 1
            self.W = (1e-3 * self.rng.standard_normal(shape)).astype(X.dtype)
        history = []
        for _ in range(num_iters):
            rows = self.rng.integers(len(X), size=batch_size)
            loss, gradient = self.loss(X[rows], y[rows], reg)
            history.append(loss)
            self.W = self.W - float(learning_rate) * gradient
            if self.norm is not None:
                self.W = max_norm(self.W, self.norm)
        return history


class Softmax(LinearClassifier):
    """A linear classifier with the softmax loss.

    Args:
        **settings: Arguments of LinearClassifier.

    >>> round(Softmax().train(np.eye(2), np.array([0, 1]), num_iters=1)[0], 2)
    0.69
    """

    def __init__(self, **settings: Any):
        super().__init__(losses.softmax_loss, **settings)


class LinearSVM(LinearClassifier):
    """A linear classifier with an SVM loss.

    Args:
        form: One of losses.FORMS.
        margin: Amount by which the score of the true class should exceed every other score.
        **settings: Arguments of LinearClassifier.

    >>> round(LinearSVM().train(np.eye(2), np.array([0, 1]), num_iters=1)[0], 2)
    1.0
    """

    def __init__(self, form: str = "weston_watkins", margin: float = 1.0, **settings: Any):
        super().__init__(functools.partial(losses.svm_loss, form=form, margin=margin), **settings)


def templates(W: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Show the weights of each class as an image, scaled by its own range to 0..255.

    A score is the inner product of an image with the template of the class.

    Args:
        W: Weights, (D, C), without the row of the biases.
        shape: Shape of an image, of D pixels.

    Returns:
        uint8 images, (C, *shape).

    Raises:
        ValueError: If W has not a row for each pixel.

    >>> templates(np.array([[-1.0, 2.0], [1.0, 2.0]]), (1, 2))
    array([[[  0, 255]],
    <BLANKLINE>
           [[  0,   0]]], dtype=uint8)
    """
    if W.ndim != 2 or len(W) != np.prod(shape):
        raise ValueError(f"W {W.shape} has not a row for each pixel of an image {shape}")
    low, high = W.min(axis=0), W.max(axis=0)
    scaled = (W - low) / np.where(high > low, high - low, 1)
    return np.round(255 * scaled).astype("uint8").T.reshape(-1, *shape)
