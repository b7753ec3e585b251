"""DropConnect: a dense layer whose individual weights are dropped, differently for each example.

Wan, Zeiler, Zhang, LeCun & Fergus, "Regularization of Neural Networks using DropConnect", ICML
2013, https://proceedings.mlr.press/v28/wan13.html. (EfficientNet's code uses this name for
drop-path.)
"""

from typing import Any

import keras
from keras import ops, random

INFERENCES = ("gaussian", "mean")
VARIANCE_FLOOR = 1e-12  # the square root has no gradient at 0


@keras.saving.register_keras_serializable("cvcourse")
class DropConnect(keras.layers.Layer):
    """Compute a((M * W) v), where each entry of M is 1 with probability p = 1 - `rate`, else 0.

    Biases are weights of an input that is always 1, and are dropped as well (section 3). Training
    needs a mask for each example, batch * n * units numbers: 256 MiB for 128 examples, 1,024 inputs
    and 512 units, and several tensors of this size.

    Args:
        units: Number of units.
        rate: Probability that a weight is dropped, in [0, 1).
        activation: Activation a, named as in keras.activations.
        inference: "mean" computes a(p W v); "gaussian" (section 3.2) the mean of a(u) over draws of
            u ~ N(p W v, p (1 - p) (W * W) (v * v)), the distribution of the input of a unit with
            many weights. The draws are equal for all examples and calls, and their mean is exact:
            inference is deterministic.
        samples: Number of these draws.
        seed: Integer seed of the masks; None for a random one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, n) -> (batch, units); kernel (n, units), bias (units,)

    Raises:
        ValueError: For a rate outside [0, 1), an unknown `inference`, or inputs that are not flat.

    >>> tuple(DropConnect(3, activation="relu")(ops.ones((2, 4))).shape)
    (2, 3)
    """

    def __init__(
        self,
        units: int,
        rate: float = 0.5,
        activation: str | None = None,
        inference: str = "gaussian",
        samples: int = 1000,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= rate < 1 or inference not in INFERENCES:
            raise ValueError(
                f"DropConnect needs a rate in [0, 1), and inference as one of "
                f"{', '.join(INFERENCES)}; received rate={rate}, inference={inference!r}"
            )
        self.units, self.rate, self.samples, self.seed = units, rate, samples, seed
        self.inference = inference
        self.activation = keras.activations.get(activation)
        self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"DropConnect needs (batch, n): flatten the {input_shape} before it")
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs, training=False):
        keep = 1 - self.rate
        x = ops.concatenate([inputs, ops.ones_like(inputs[:, :1])], axis=1)
        weights = ops.concatenate([self.kernel, self.bias[None]])
        if training:
            draws = random.uniform(
                (ops.shape(x)[0], *weights.shape), dtype="float32", seed=self.seed_generator
            )
            masked = ops.cast(draws < keep, weights.dtype) * weights
            return self.activation(ops.matmul(x[:, None], masked)[:, 0])
        mean = keep * ops.matmul(x, weights)
        if self.inference == "mean":
            return self.activation(mean)
        variance = keep * self.rate * ops.matmul(ops.square(x), ops.square(weights))
        exact = keras.backend.result_type(self.compute_dtype, "float32")
        mean, variance = ops.cast(mean, exact), ops.cast(variance, exact)
        std = ops.sqrt(ops.maximum(variance, VARIANCE_FLOOR))
        noise = random.normal((self.samples, self.units), dtype=exact, seed=0)
        noise = noise - ops.mean(noise, axis=0)  # exact for a linear unit

        def add(i, total):
            return total + self.activation(mean + std * noise[i])

        # A loop, since all samples at once would take `samples` times the memory.
        total = ops.fori_loop(0, self.samples, add, ops.zeros_like(mean))
        return ops.cast(total / self.samples, self.compute_dtype)
