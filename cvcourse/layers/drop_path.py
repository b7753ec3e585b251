"""Drop-path: leave a path of a net out for some images of a training batch.

Larsson, Maire & Shakhnarovich, "FractalNet", ICLR 2017, https://arxiv.org/abs/1605.07648, section
3; the form that scales in training is timm's (Wightman, https://github.com/huggingface/
pytorch-image-models). Scheduled: Zoph et al., "Learning Transferable Architectures for Scalable
Image Recognition", CVPR 2018, https://arxiv.org/abs/1707.07012, section 3.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class DropPath(keras.layers.Layer):
    """Zeroes the inputs of a share `rate` of a training batch's images, scales the others: x -> x.

    Those are divided by 1 - rate, so that the mean is that of inference, which changes nothing.
    Shapes: (batch, …) -> the same. Raises ValueError for a rate that is not in [0, 1).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(
                f"drop-path takes a rate of at least 0 and below 1; received rate={rate}"
            )
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        return _dropped(inputs, 1 - self.rate, self.seed_generator) if training else inputs

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("cvcourse")
class ScheduledDropPath(keras.layers.Layer):
    """Drop-path that drops more paths the longer the net has trained: x -> x.

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
        return _dropped(inputs, keep, self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape


def _dropped(inputs, keep, seed):
    """Each image with probability `keep`, divided by it, or else zeros."""
    shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
    kept = keras.random.uniform(shape, dtype="float32", seed=seed) < keep
    return inputs * ops.cast(ops.cast(kept, "float32") / keep, inputs.dtype)
