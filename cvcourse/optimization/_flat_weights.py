"""A model's trainable weights as one vector, and its loss over all examples as a function of it.

SciPy's minimizers, Hessians and paths through weight space need such a function. TensorFlow is
imported inside a function, for the gradient.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

ROWS_AT_ONCE = 128  # of a Hessian, each with a backward pass in memory


def flat_weights(model: keras.Model) -> np.ndarray:
    """Concatenate the trainable weights of a model.

    Args:
        model: A built model.

    Returns:
        float64 array (n,), in the order of `model.trainable_variables`.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> flat_weights(model).shape
    (9,)
    """
    weights = [keras.ops.convert_to_numpy(v.value).ravel() for v in model.trainable_variables]
    return np.concatenate(weights, dtype="float64")


def set_flat_weights(model: keras.Model, vector: ArrayLike) -> None:
    """Assign a vector to the trainable weights of a model, as `flat_weights` orders them.

    Args:
        model: A built model of n trainable weights.
        vector: Array (n,).

    Raises:
        ValueError: If the vector has another shape.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> set_flat_weights(model, [1.0, 2.0, 3.0])
    >>> model.get_weights()[1]
    array([3.], dtype=float32)
    """
    vector = np.asarray(vector)
    variables = model.trainable_variables
    ends = np.cumsum([math.prod(v.shape) for v in variables])
    if vector.shape != (ends[-1],):
        raise ValueError(
            f"the model has {ends[-1]} weights; received a vector of shape {vector.shape}"
        )
    for variable, part in zip(variables, np.split(vector, ends[:-1]), strict=True):
        variable.assign(part.reshape(variable.shape))


class Objective:
    """Loss of a model over all examples as a function of its flat weights.

    A pure function: a call changes no weight, moving average or seed of the model.

    Args:
        model: A built model of n trainable weights.
        images: Inputs (m, …): an array, or a sequence that returns arrays for slices.
        labels: Labels (m, …), likewise.
        loss: Function of labels and predictions, such as a keras.losses.Loss, that is a mean over
            examples; None uses the loss that the model was compiled with. The model's own penalties
            are added either way.
        batch_size: Number of examples in memory at once, a chunk.
        training: False uses batch norm's moving averages, without dropout. True uses the statistics
            of each chunk, and the same dropout mask for all chunks and calls.

    Attributes:
        passes: Number of calls so far.

    Raises:
        ValueError: On backends other than TensorFlow.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> mean_squares = keras.losses.MeanSquaredError()
    >>> objective = Objective(model, np.ones((4, 1)), np.zeros((4, 1)), loss=mean_squares)
    >>> objective(np.array([3.0]))
    (9.0, array([6.]))
    """

    def __init__(
        self,
        model: keras.Model,
        images: Any,
        labels: Any,
        *,
        loss: Callable | None = None,
        batch_size: int = 1024,
        training: bool = False,
    ):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Objective needs the TensorFlow backend; received "
                f"{keras.backend.backend()}: set KERAS_BACKEND=tensorflow"
            )
        import tensorflow as tf

        self.images, self.labels, self.batch_size, self.passes = images, labels, batch_size, 0
        variables = model.trainable_variables
        sizes = [math.prod(v.shape) for v in variables]

        def value(vector, x, y):
            parts = tf.split(vector, sizes)
            state = [
                (v, tf.cast(tf.reshape(part, v.shape), v.dtype))
                for v, part in zip(variables, parts, strict=True)
            ]
            with keras.StatelessScope(state):
                outputs = model(x, training=training)
                if loss is None:
                    terms = [model.compute_loss(x, y, outputs, training=training)]
                else:
                    terms = [loss(y, outputs), *model.losses]
            return sum(tf.reduce_sum(tf.cast(term, vector.dtype)) for term in terms)

        def gradient(vector, x, y):
            with tf.GradientTape() as tape:
                tape.watch(vector)
                found = value(vector, x, y)
            return found, tape.gradient(found, vector)

        def products(vector, x, y, directions):
            with tf.GradientTape() as tape:
                tape.watch(vector)
                along = tf.linalg.matvec(directions, gradient(vector, x, y)[1])
            return (tape.jacobian(along, vector),)

        self._gradient = tf.function(gradient, reduce_retracing=True)
        self._products = tf.function(products, reduce_retracing=True)

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient at weights (n,): (float, float64 array (n,))."""
        self.passes += 1
        value, gradient = self._mean(self._gradient, vector)
        return float(value), gradient

    def hessian(self, vector: np.ndarray) -> np.ndarray:
        """Compute the second derivatives of the loss at weights (n,): float64 (n, n), exact."""
        rows = np.eye(len(vector))
        for start in range(0, len(vector), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            rows[block] = self._mean(self._products, vector, rows[block])[0]
        return rows

    def _mean(self, function, vector, *more):
        """Average the results of `function` over chunks, weighted by their numbers of examples."""
        vector, count = np.asarray(vector, "float64"), len(self.labels)
        total = 0
        for start in range(0, count, self.batch_size):
            chunk = slice(start, start + self.batch_size)
            x, y = self.images[chunk], self.labels[chunk]
            found = [
                np.asarray(array) * (len(y) / count) for array in function(vector, x, y, *more)
            ]
            total = found if start == 0 else [a + b for a, b in zip(total, found, strict=True)]
        return total


def at_start(model, images, labels, **settings):
    """Return an Objective with `settings`, the model's weights, and loss and gradient at them.

    Raises ValueError if the loss is not finite.
    """
    objective, weights = Objective(model, images, labels, **settings), flat_weights(model)
    value, gradient = objective(weights)
    if not np.isfinite(value):
        raise ValueError(f"the loss is {value} before the first step: check weights and pixels")
    return objective, weights, value, gradient
