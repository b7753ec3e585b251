"""Scheduled drop-path: drop whole paths of a net, the more of them the longer it has trained.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018,
https://arxiv.org/abs/1707.07012, section 3, after Larsson et al.'s FractalNet.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class ScheduledDropPath(keras.layers.Layer):
    """Zeroes the inputs of some images of a training batch and scales the others up: x -> x.

    The share of zeroed images grows from 0 to `rate` over the first `steps` training steps, which
    the layer counts. Shapes: (batch, …) -> the same.
    """

    def __init__(self, rate, steps, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1 or steps < 1:
            raise ValueError(
                f"drop-path takes a rate of at least 0 and below 1 and a positive number of steps; "
                f"received rate={rate}, steps={steps}"
            )
        self.rate, self.steps, self.seed = rate, steps, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.step = self.add_weight(
            name="step",
            shape=(),
            initializer="zeros",
            dtype="int32",  # float16 counts to 2048
            trainable=False,
            aggregation="only_first_replica",
        )

    def call(self, inputs, training=False):
        if not training:
            return inputs
        done = ops.cast(self.step, "float32") / self.steps
        keep = 1 - self.rate * ops.minimum(done, 1.0)
        self.step.assign(self.step + 1)
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) < keep
        return inputs * ops.cast(ops.cast(kept, "float32") / keep, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
