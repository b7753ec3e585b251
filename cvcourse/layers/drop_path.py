"""Drop-path and stochastic depth: randomly drop paths of a network in training.

The path is dropped for a whole mini-batch: Huang, Sun, Liu, Sedra & Weinberger, "Deep Networks with
Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382, section 3; or for each image
separately, as in Google's EfficientNet and in timm (Wightman, https://github.com/huggingface/
pytorch-image-models). The rate grows during training: Zoph et al., "Learning Transferable
Architectures for Scalable Image Recognition", CVPR 2018, https://arxiv.org/abs/1707.07012, section
4 and appendix A.5.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class DropPath(keras.layers.Layer):
    """Last layer of a path, whose output is zero with probability `rate` in training.

    `DropPath(rate, per="batch", scale_at="test")` is the stochastic depth of Huang et al. (eq. 2
    and 5); the defaults are the later form in EfficientNet, ConvNeXt and NASNet.

    Args:
        rate: Probability that the path is dropped, in [0, 1).
        per: "image" draws for each image of the batch, "batch" once for all of them.
        scale_at: "train" divides kept outputs by 1 - rate in training, "test" multiplies outputs
            by 1 - rate in inference. The means are equal.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, …) -> (batch, …)

    Raises:
        ValueError: For a rate outside [0, 1), or an unknown `per` or `scale_at`.

    >>> DropPath(0.25, scale_at="test")(ops.ones((1, 2))).numpy().tolist()
    [[0.75, 0.75]]
    """

    def __init__(
        self,
        rate: float,
        per: str = "image",
        scale_at: str = "train",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= rate < 1 or per not in ("image", "batch") or scale_at not in ("train", "test"):
            raise ValueError(
                f"drop-path needs a rate in [0, 1), per='image' or 'batch', and "
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
        # In float32: bfloat16 would round a rate of 0.001.
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= rate
        scale = 1 / (1 - rate) if self.scale_at == "train" else 1.0
        # A dropped path may hold infinities, so it is not multiplied by 0.
        return ops.where(kept, inputs * ops.cast(scale, inputs.dtype), ops.zeros_like(inputs))

    def current_rate(self):
        """Return the rate of this training step."""
        return self.rate

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("cvcourse")
class ScheduledDropPath(DropPath):
    """Drop-path whose rate grows linearly from 0 to `rate` over the first `steps` training steps.

    Args:
        rate: Probability that the path is dropped, from step `steps` on, in [0, 1).
        steps: Number of training steps, which the layer counts.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, …) -> (batch, …)

    Raises:
        ValueError: For a rate outside [0, 1) or steps below 1.

    >>> layer = ScheduledDropPath(0.5, steps=4)
    >>> for _ in range(2):
    ...     _ = layer(ops.ones((1, 2)), training=True)
    >>> float(layer.current_rate())
    0.25
    """

    def __init__(self, rate: float, steps: int, seed: int | None = None, **kwargs: Any):
        super().__init__(rate, seed=seed, **kwargs)
        if steps < 1:
            raise ValueError(
                f"scheduled drop-path needs a positive number of steps; received steps={steps}"
            )
        self.steps = steps

    @property
    def step(self):
        """Number of training steps so far: the seed generator counts its draws, one per step."""
        return self.seed_generator.state[1]

    def current_rate(self):
        return self.rate * ops.minimum(ops.cast(self.step, "float32") / self.steps, 1.0)

    # The count is not a weight of the net, but it is saved in its file.
    def save_own_variables(self, store):
        store["0"] = ops.convert_to_numpy(self.step)

    def load_own_variables(self, store):
        seed, _ = ops.convert_to_numpy(self.seed_generator.state)
        self.seed_generator.state.assign([seed, int(np.array(store["0"]))])
