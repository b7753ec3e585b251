"""Stochastic depth: in training a residual branch is left out of whole mini-batches at random.

Huang, Sun, Liu, Sedra & Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016,
https://arxiv.org/abs/1603.09382, section 3.
"""

import keras
from keras import ops, random


@keras.saving.register_keras_serializable("cvcourse")
class StochasticDepth(keras.layers.Layer):
    """The last layer of a branch: zeros for a share `rate` of the training batches, else x -> x.

    As in the paper (eq. 5) the branch is not scaled in training, but by 1 - rate in inference.
    DropPath is the later form, which draws for each image and scales in training. Shapes: any ->
    the same. Raises ValueError for a rate that is not in [0, 1).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(
                f"stochastic depth takes a rate of at least 0 and below 1; received rate={rate}"
            )
        self.rate, self.seed = rate, seed
        self.seed_generator = random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training:
            return inputs * (1 - self.rate)
        kept = random.uniform((), dtype="float32", seed=self.seed_generator) >= self.rate
        return inputs * ops.cast(kept, inputs.dtype)
