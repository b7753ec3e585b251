"""Fractional max pooling: shrink a map by a factor below 2, over regions drawn at random.

Graham, "Fractional Max-Pooling", 2014, https://arxiv.org/abs/1412.6071.
"""

from fractions import Fraction
from typing import Any

import keras
import numpy as np
from keras import ops, random

KINDS = ("random", "pseudorandom")


@keras.saving.register_keras_serializable("cvcourse")
class FractionalMaxPooling2D(keras.layers.Layer):
    """Return the maximum of each of height x width regions, equal for all images of a batch.

    Training draws new regions for each batch. In inference they depend only on the size of the map
    and the weight `test_pass`, which is 0 unless `regularization.averaged_passes` increments it.

    Args:
        ratio: Side of the map over side of the output, which is rounded down; a number or a pair.
            It is read as the decimal number that Python prints: side 33 and ratio 1.1 result in 30.
            The paper's ratios are between 1 and 2.
        output_size: Side of the output in pixels, instead of `ratio`; a number or a pair.
        kind: Order of larger and smaller regions, "random" or "pseudorandom", see `index_sequence`.
            The paper finds that random regions may underfit together with dropout or data
            augmentation; try "pseudorandom" with these.
        overlapping: Whether neighboring regions share the pixels at their borders (section 2),
            which the paper finds better than disjoint regions.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, h, w, c) -> (batch, height, width, c).

    Raises:
        ValueError: For both or neither of `ratio` and `output_size`, for one that is not above 0,
            for an unknown kind, for an output larger than the map, and for maps of unknown size.

    >>> tuple(FractionalMaxPooling2D(1.5)(ops.ones((1, 6, 7, 2))).shape)
    (1, 4, 4, 2)
    """

    def __init__(
        self,
        ratio: float | tuple[float, float] | None = None,
        output_size: int | tuple[int, int] | None = None,
        kind: str = "random",
        overlapping: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (ratio is None) == (output_size is None) or kind not in KINDS:
            raise ValueError(
                f"fractional max pooling needs a ratio or an output_size, and kind as one of "
                f"{', '.join(KINDS)}; received {ratio=}, {output_size=}, {kind=}"
            )
        if not np.all(np.array(output_size if ratio is None else ratio) > 0):
            raise ValueError(
                f"fractional max pooling needs numbers above 0; received {ratio=}, {output_size=}"
            )
        self.ratio, self.output_size, self.kind = ratio, output_size, kind
        self.overlapping, self.seed = overlapping, seed
        self.seed_generator = random.SeedGenerator(seed)
        self.seed_generator.whole_batch = True  # see distribution_repairs.repair_seeds

    def build(self, input_shape):
        self.test_pass = self.add_weight(
            name="test_pass", shape=(), initializer="zeros", dtype="int32", trainable=False
        )

    def call(self, inputs, training=False):
        sides, sizes = inputs.shape[1:3], self._sizes(inputs.shape)
        draws = self._draws((2, max(sizes)), sides, training)
        x = inputs
        for i, (side, size) in enumerate(zip(sides, sizes, strict=True)):
            edges = index_sequence(self.kind, draws[i, :size], side, size)
            pixels = self._pixels(edges, side, size)
            x = ops.max(ops.take(x, pixels, axis=i + 1), axis=i + 2)
        return x

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._sizes(input_shape), input_shape[3])

    def _sizes(self, input_shape):
        sides = input_shape[1:3]
        if None in sides:
            raise ValueError(
                f"fractional max pooling must know the size of its map; received {input_shape}: "
                f"give keras.Input a height and a width"
            )
        if self.ratio is None:
            sizes = tuple(map(int, np.broadcast_to(self.output_size, 2)))
        else:  # not in floating point, where 33 / 1.1 is below 30
            ratios = [Fraction(str(ratio)) for ratio in np.broadcast_to(self.ratio, 2)]
            sizes = tuple(int(side / ratio) for side, ratio in zip(sides, ratios, strict=True))
        if not all(1 <= size <= side for size, side in zip(sizes, sides, strict=True)):
            raise ValueError(
                f"cannot pool a map of {sides} pixels into {sizes} regions: each needs at least one"
            )
        return sizes

    def _draws(self, shape, sides, training):
        """Draw numbers in [0, 1); in inference they are a function of `test_pass`."""
        if training:
            return random.uniform(shape, dtype="float32", seed=self.seed_generator)
        # Steps around a circle of length 1: any two passes are uniform and independent.
        circle = random.uniform((2, *shape), dtype="float32", seed=sides[0] * 2**16 + sides[1])
        return (circle[0] + ops.cast(self.test_pass, circle.dtype) * circle[1]) % 1

    def _pixels(self, edges, side, size):
        """Compute each region's pixels, (size, longest); shorter regions repeat their last one."""
        shared = int(self.overlapping)
        longest = -(-side // size) + shared
        last = ops.minimum(edges[1:] - 1 + shared, side - 1)
        return ops.minimum(edges[:-1, None] + ops.arange(longest, dtype="int32"), last[:, None])


def index_sequence(kind, draws, side, size):
    """Compute the edges of the regions of one side: 0 = a_0 < … < a_size = side.

    Consecutive edges differ by floor(alpha) or ceil(alpha), alpha = side / size. "random" has the
    larger differences in random order, "pseudorandom" has a_i = ceil(alpha (i + u)), less a_0, with
    one u in (0, 1) (section 2). Shapes: draws in [0, 1), (size,) -> (size + 1,) int32.
    """
    if kind == "random":
        larger = ops.argsort(draws) < side % size
        steps = side // size + ops.cast(larger, "int32")
        return ops.concatenate([ops.zeros((1,), "int32"), ops.cumsum(steps)])
    # In integers, since rounding could move an edge: alpha u = side u / size, ceil(side u) counts.
    shift = ops.cast(draws[0] * side, "int32") + 1
    edges = (ops.arange(size + 1, dtype="int32") * side + shift + size - 1) // size
    return edges - edges[0]
