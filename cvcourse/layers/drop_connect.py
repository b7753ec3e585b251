"""DropConnect: a dense layer each of whose weights drops out by itself, for each example anew.

Wan, Zeiler, Zhang, LeCun & Fergus, "Regularization of Neural Networks using DropConnect", ICML
2013, https://proceedings.mlr.press/v28/wan13.html. (What EfficientNet's code calls by this name is
drop-path.)
"""

import keras
from keras import ops, random

INFERENCES = ("gaussian", "mean")
VARIANCE_FLOOR = 1e-12  # the square root has no gradient at 0


@keras.saving.register_keras_serializable("cvcourse")
class DropConnect(keras.layers.Layer):
    """a((M * W) v), where each entry of M is 1 with probability p = 1 - `rate`, else 0.

    Biases are weights of an input that is always 1, and drop out as well (section 3). In inference
    "mean" gives a(p W v); "gaussian" (section 3.2) the mean of a(u) over `samples` draws of
    u ~ N(p W v, p (1 - p) (W * W) (v * v)), which is how the input of a unit of many weights is
    distributed. These draws are the same for all examples and in every call, and sum to the mean:
    inference is a deterministic function. `activation` is named as in keras.activations.

    Training keeps a mask for each example, batch * n * units numbers: 128 examples, 1,024 inputs
    and 512 units take 256 MiB, several times over.

    Shapes: (batch, n) -> (batch, units); kernel (n, units), bias (units,). Raises ValueError for a
    rate that is not in [0, 1), an unknown `inference`, and inputs that are not flat.
    """

    def __init__(
        self,
        units,
        rate=0.5,
        activation=None,
        inference="gaussian",
        samples=1000,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 <= rate < 1 or inference not in INFERENCES:
            raise ValueError(
                f"DropConnect takes a rate of at least 0 and below 1, and inference as one of "
                f"{', '.join(INFERENCES)}; received rate={rate}, inference={inference!r}"
            )
        self.units, self.rate, self.samples, self.seed = units, rate, samples, seed
        self.inference = inference
        self.activation = keras.activations.get(activation)
        self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"DropConnect takes (batch, n): flatten the {input_shape} before it")
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
        noise = noise - ops.mean(noise, axis=0)  # a linear unit gives the mean to the digit

        def add(i, total):
            return total + self.activation(mean + std * noise[i])

        # A loop, since all samples at once would take `samples` times the memory.
        total = ops.fori_loop(0, self.samples, add, ops.zeros_like(mean))
        return ops.cast(total / self.samples, self.compute_dtype)
