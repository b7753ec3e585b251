"""Fractional max pooling: shrink a map by less than a half, over regions that are drawn at random.

Graham, "Fractional Max-Pooling", 2014, https://arxiv.org/abs/1412.6071.
"""

import keras
import numpy as np
from keras import ops, random

KINDS = ("random", "pseudorandom")


@keras.saving.register_keras_serializable("cvcourse")
class FractionalMaxPooling2D(keras.layers.Layer):
    """The largest value of each of height x width regions, the same ones for the whole batch.

    The output has `output_size` pixels a side, or side / `ratio`, rounded down: a number or a pair
    of them, and one of the two is given (the paper's ratios lie between 1 and 2). `kind` says how
    long and short regions follow each other, see `index_sequence`; `overlapping` ones share the
    pixels at their borders (section 2). The defaults are what the paper found best (section 4).

    Training draws new regions for each batch. In inference they depend on the map's size and the
    weight `test_pass` alone, which is 0 unless `regularization.averaged_passes` counts it up.

    Shapes: (batch, h, w, c) -> (batch, height, width, c). Raises ValueError for an output larger
    than the map, and for maps of unknown size.
    """

    def __init__(
        self, ratio=None, output_size=None, kind="random", overlapping=True, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        if (ratio is None) == (output_size is None) or kind not in KINDS:
            raise ValueError(
                f"fractional max pooling takes a ratio or an output_size, and a kind of "
                f"{', '.join(KINDS)}; received {ratio=}, {output_size=}, {kind=}"
            )
        self.ratio, self.output_size, self.kind = ratio, output_size, kind
        self.overlapping, self.seed = overlapping, seed
        self.seed_generator = random.SeedGenerator(seed)

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
        pairs = zip(sides, np.broadcast_to(self.ratio or self.output_size, 2), strict=True)
        sizes = tuple(int(side / n if self.ratio else n) for side, n in pairs)
        if not all(1 <= size <= side for size, side in zip(sizes, sides, strict=True)):
            raise ValueError(
                f"cannot pool a map of {sides} pixels into {sizes} regions: each takes at least one"
            )
        return sizes

    def _draws(self, shape, sides, training):
        """Numbers in [0, 1), in inference a function of the pass."""
        if training:
            return random.uniform(shape, dtype="float32", seed=self.seed_generator)
        # Steps around a circle of length 1: any two passes are uniform and independent.
        circle = random.uniform((2, *shape), dtype="float32", seed=sides[0] * 2**16 + sides[1])
        return (circle[0] + ops.cast(self.test_pass, circle.dtype) * circle[1]) % 1

    def _pixels(self, edges, side, size):
        """Each region's pixels, the last one repeated in shorter ones: (size, longest)."""
        shared = int(self.overlapping)
        longest = -(-side // size) + shared
        last = ops.minimum(edges[1:] - 1 + shared, side - 1)
        return ops.minimum(edges[:-1, None] + ops.arange(longest, dtype="int32"), last[:, None])


def index_sequence(kind, draws, side, size):
    """Where the regions of one side begin, and the last one ends: 0 = a_0 < … < a_size = side.

    Neighbors differ by floor(alpha) or ceil(alpha), alpha = side / size. "random" puts the larger
    differences in any order, "pseudorandom" has a_i = ceil(alpha (i + u)), less a_0, with one u in
    (0, 1) (section 2). Draws in [0, 1) decide: (size,) -> (size + 1,) int32.
    """
    if kind == "random":
        larger = ops.argsort(draws) < side % size
        steps = side // size + ops.cast(larger, "int32")
        return ops.concatenate([ops.zeros((1,), "int32"), ops.cumsum(steps)])
    # In whole numbers, lest rounding move an edge: of alpha u = side u / size counts ceil(side u).
    shift = ops.cast(draws[0] * side, "int32") + 1
    edges = (ops.arange(size + 1, dtype="int32") * side + shift + size - 1) // size
    return edges - edges[0]
