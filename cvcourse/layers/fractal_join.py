"""Fractal join: the mean of paths of different depth, some of which are dropped in training.

Larsson, Maire & Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals", ICLR
2017, https://arxiv.org/abs/1605.07648, section 3.
"""

from typing import Any

import keras
from keras import ops, random


@keras.saving.register_keras_serializable("cvcourse")
class ColumnDraw(keras.layers.Layer):
    """Draw the column that the whole network uses for this mini-batch: global drop-path.

    In training the output is, with probability `share`, a one-hot vector of a column that is drawn
    uniformly; otherwise, and in inference, it is zeros, and no column is selected.

    Args:
        columns: Number of columns.
        share: Probability of global drop-path.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (…) -> (columns,)

    >>> ColumnDraw(3)(ops.ones((1, 2))).numpy().tolist()
    [0.0, 0.0, 0.0]
    """

    def __init__(self, columns: int, share: float = 0.5, seed: int | None = None, **kwargs: Any):
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
    """Average the paths that are kept; all of them in inference.

    The inputs are the paths of the deepest columns, in the order of the columns, and then the
    vector of ColumnDraw. In training, if a column is drawn, only its path is kept. If none is
    drawn, or if the drawn column does not reach this join, each path is dropped with probability
    `rate` for the whole mini-batch, but at least one is kept: local drop-path.

    Args:
        rate: Probability that a path is dropped.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        paths [(batch, h, w, c), …] and (columns,) -> (batch, h, w, c)

    >>> paths = [ops.ones((1, 1, 1, 1)), 3 * ops.ones((1, 1, 1, 1))]
    >>> float(FractalJoin()([*paths, ops.zeros((2,))])[0, 0, 0, 0])
    2.0
    """

    def __init__(self, rate: float = 0.15, seed: int | None = None, **kwargs: Any):
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
