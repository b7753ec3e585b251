"""A model's trainable weights as one vector, and its loss over all examples as a function of it.

What SciPy's minimizers, a Hessian and a walk through weight space need. TensorFlow is imported
inside a function, for the gradient.
"""

import math

import keras
import numpy as np

ROWS_AT_ONCE = 128  # of a Hessian, each with a backward pass in memory


def flat_weights(model):
    """The trainable weights of `model`, one after the other: (n,) float64."""
    weights = [keras.ops.convert_to_numpy(v.value).ravel() for v in model.trainable_variables]
    return np.concatenate(weights, dtype="float64")


def set_flat_weights(model, vector):
    """Give `model` the trainable weights in a vector (n,). Raises ValueError for another length."""
    variables = model.trainable_variables
    ends = np.cumsum([math.prod(v.shape) for v in variables])
    if np.shape(vector) != (ends[-1],):
        raise ValueError(f"the model has {ends[-1]} weights; received {np.shape(vector)} of them")
    for variable, part in zip(variables, np.split(vector, ends[:-1]), strict=True):
        variable.assign(part.reshape(variable.shape))


class Objective:
    """The loss of `model` over `images` (m, …) and `labels` (m, …), given its flat weights (n,).

    `loss` is a function of labels and predictions, such as a keras.losses.Loss, that is a mean over
    examples; None stands for what the model was compiled with. The model's penalties are added
    either way. Images and labels are arrays, or sequences that give arrays for a slice; they are
    taken in chunks of `batch_size`.

    A pure function: calling it changes no weight, moving average or seed of the model. Without
    `training` batch norm uses its moving averages and dropout is off; with it, batch norm uses the
    statistics of a chunk, and dropout one and the same mask for all chunks and calls.

    Attributes: `passes` counts the calls. Raises ValueError on backends other than TensorFlow.
    """

    def __init__(self, model, images, labels, *, loss=None, batch_size=1024, training=False):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"gradients by flat weights are TensorFlow's; received {keras.backend.backend()}: "
                "set KERAS_BACKEND=tensorflow"
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

    def __call__(self, vector):
        """The loss, a float, and its gradient (n,), float64."""
        self.passes += 1
        value, gradient = self._mean(self._gradient, vector)
        return float(value), gradient

    def hessian(self, vector):
        """The second derivatives of the loss (n, n), float64, exact but for rounding."""
        rows = np.eye(len(vector))
        for start in range(0, len(vector), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            rows[block] = self._mean(self._products, vector, rows[block])[0]
        return rows

    def _mean(self, function, vector, *more):
        """The mean over chunks of what `function` returns, by their shares of the examples."""
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
    """The Objective with its `settings`, the weights of the model, and loss and gradient at them.

    Raises ValueError where the loss is no number.
    """
    objective, weights = Objective(model, images, labels, **settings), flat_weights(model)
    value, gradient = objective(weights)
    if not np.isfinite(value):
        raise ValueError(f"the loss is {value} before the first step: look at weights and pixels")
    return objective, weights, value, gradient
