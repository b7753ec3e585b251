"""Fractal join: the mean of paths of different depth, some of which drop out in training.

Larsson, Maire & Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals", ICLR
2017, https://arxiv.org/abs/1605.07648, section 3.
"""

import keras
from keras import ops, random


@keras.saving.register_keras_serializable("cvcourse")
class ColumnDraw(keras.layers.Layer):
    """The column that the whole network uses for this mini-batch: global drop-path.

    In training the output is, with probability `share`, a one-hot vector of one of the `columns`,
    each as likely as the other; otherwise, and in inference, it is zeros, which restrict nothing.

    Shapes: anything -> (columns,).
    """

    def __init__(self, columns, share=0.5, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.share, self.seed = columns, share, seed
        self.seed_generator = random.SeedGenerator(seed)
        self.seed_generator.whole_batch = True  # see distribution_repairs.repair_seeds

    def call(self, inputs, training=None):
        if not training:
            return ops.zeros((self.columns,), self.compute_dtype)
        drawn = random.uniform((2,), dtype="float32", seed=self.seed_generator)
        column = ops.cast(ops.floor(drawn[0] * self.columns), "int32")
        used = ops.cast(drawn[1] < self.share, self.compute_dtype)
        return used * ops.one_hot(column, self.columns, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable("cvcourse")
class FractalJoin(keras.layers.Layer):
    """The mean of those inputs that survive: of all in inference.

    The inputs are the paths, of the deepest columns and in the columns' order, and ColumnDraw's
    vector behind them. In training a drawn column alone survives; without one, and in a join that
    the drawn column does not reach, each path drops with probability `rate` for the mini-batch,
    but for the last one left: local drop-path.

    Shapes: paths [(batch, h, w, c), …] and (columns,) -> (batch, h, w, c).
    """

    def __init__(self, rate=0.15, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.seed_generator = random.SeedGenerator(seed)
        self.seed_generator.whole_batch = True  # see distribution_repairs.repair_seeds

    def call(self, inputs, training=None):
        *paths, column = inputs
        if not training:
            return sum(paths) / len(paths)
        draws = random.uniform((len(paths),), dtype="float32", seed=self.seed_generator)
        local = ops.cast(draws >= ops.minimum(self.rate, ops.max(draws)), column.dtype)
        drawn = column[-len(paths) :]
        kept = ops.where(ops.any(drawn > 0), drawn, local)
        kept = kept / ops.sum(kept)
        return sum(kept[i] * path for i, path in enumerate(paths))
