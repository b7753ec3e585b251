"""Drop-path and stochastic depth: leave a path of a net out of training at random.

The path is dropped for a whole mini-batch: Huang, Sun, Liu, Sedra & Weinberger, "Deep Networks with
Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382, section 3; or for each image by
itself, as in Google's EfficientNet and in timm (Wightman, https://github.com/huggingface/
pytorch-image-models). The rate grows during training: Zoph et al., "Learning Transferable
Architectures for Scalable Image Recognition", CVPR 2018, https://arxiv.org/abs/1707.07012, section
4 and appendix A.5.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class DropPath(keras.layers.Layer):
    """The last layer of a path: in training its output is zero with probability `rate`.

    `DropPath(rate, per="batch", scale_at="test")` is stochastic depth as Huang et al. write it
    (eq. 2 and 5); the defaults are the later form of EfficientNet, ConvNeXt and NASNet.

    Args:
        rate: Probability that the path is dropped, in [0, 1).
        per: "image" draws for each image of the batch, "batch" once for all of them.
        scale_at: "train" divides what is kept by 1 - rate, and inference changes nothing;
            "test" keeps it as it is, and inference multiplies by 1 - rate. The mean is the same.
        seed: Integer seed of the draws; None for a random one.

    Shapes:
        (batch, …) -> the same.

    Raises:
        ValueError: For a rate outside [0, 1), or another word for `per` or `scale_at`.
    """

    def __init__(self, rate, per="image", scale_at="train", seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1 or per not in ("image", "batch") or scale_at not in ("train", "test"):
            raise ValueError(
                f"drop-path takes a rate of at least 0 and below 1, per='image' or 'batch' and "
                f"scale_at='train' or 'test'; received {rate=}, {per=}, {scale_at=}"
            )
        self.rate, self.per, self.scale_at, self.seed = rate, per, scale_at, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.seed_generator.whole_batch = per == "batch"  # see distribution_repairs.repair_seeds
        self.supports_masking = True

    def call(self, inputs, training=False):
        if not training:
            return inputs * (1 - self.rate) if self.scale_at == "test" else inputs
        rate = self.current_rate()
        images = ops.shape(inputs)[0] if self.per == "image" else 1
        shape = (images, *[1] * (len(inputs.shape) - 1))
        # In float32: a rate of 0.001 is no multiple of bfloat16's steps.
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= rate
        scale = 1 / (1 - rate) if self.scale_at == "train" else 1.0
        # A path that is left out may hold infinities, so it is not multiplied by 0.
        return ops.where(kept, inputs * ops.cast(scale, inputs.dtype), ops.zeros_like(inputs))

    def current_rate(self):
        """The rate of this training step."""
        return self.rate

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("cvcourse")
class ScheduledDropPath(DropPath):
    """Drop-path whose rate grows linearly from 0 to `rate` over the first `steps` training steps.

    Args:
        rate: Probability from step `steps` on that the path is dropped, in [0, 1).
        steps: Number of training steps, which the layer counts.
        seed: Integer seed of the draws; None for a random one.

    Shapes:
        (batch, …) -> the same.

    Raises:
        ValueError: For a rate outside [0, 1) or steps below 1.
    """

    def __init__(self, rate, steps, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        if steps < 1:
            raise ValueError(
                f"scheduled drop-path takes a positive number of steps; received steps={steps}"
            )
        self.steps = steps

    @property
    def step(self):
        """Number of training steps so far: a seed generator counts its draws, one a step."""
        return self.seed_generator.state[1]

    def current_rate(self):
        return self.rate * ops.minimum(ops.cast(self.step, "float32") / self.steps, 1.0)

    # The count is no parameter of the net, and yet part of its file.
    def save_own_variables(self, store):
        store["0"] = ops.convert_to_numpy(self.step)

    def load_own_variables(self, store):
        seed, _ = ops.convert_to_numpy(self.seed_generator.state)
        self.seed_generator.state.assign([seed, int(np.array(store["0"]))])
