"""Convolutional net of the assignments: conv - relu - 2x2 max pool - affine - relu - affine.

CS231n, assignment 2, "Three-layer ConvNet"; notes, https://cs231n.github.io/convolutional-networks.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from cvcourse.classic import convolution, pooling
from cvcourse.classic.nets import (
    AFFINE,
    RELU,
    Layer,
    Net,
    Rng,
    affine_parameters,
    standard_deviation,
)

CONV = convolution.conv_forward_im2col, convolution.conv_backward_im2col
POOL = pooling.max_pool_forward_fast, pooling.max_pool_backward_fast


class ThreeLayerConvNet(Net):
    """Convolutional net: conv - relu - 2x2 max pool - affine - relu - affine - softmax.

    Args:
        input_dim: Channels, height and width of an image; height and width are even.
        num_filters: Number of filters.
        filter_size: Height and width of a filter, odd; padding preserves the size of the image.
        hidden_dim: Number of hidden units.
        num_classes: Number of classes.
        weight_scale: Standard deviation of the initial weights; None: that of He et al.
        reg: Strength of the L2 penalty.
        dtype: Floating-point type of parameters and computations.
        rng: Seed or generator of the weights.

    >>> ThreeLayerConvNet(num_filters=8, rng=0).params["W2"].shape  # 8 maps of 16x16
    (2048, 100)
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (3, 32, 32),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float | None = 1e-3,
        reg: float = 0.0,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ):
        channels, height, width = input_dim
        if filter_size % 2 == 0 or height % 2 or width % 2:
            raise ValueError(
                f"filter_size is {filter_size}, input_dim {input_dim}; the former is odd, height "
                "and width are even"
            )
        rng = np.random.default_rng(rng)
        filters = (num_filters, channels, filter_size, filter_size)
        params = {
            "W1": rng.normal(
                0, standard_deviation(weight_scale, int(np.prod(filters[1:]))), filters
            ),
            "b1": np.zeros(num_filters),
            **affine_parameters(
                2, (num_filters * height * width // 4, hidden_dim), weight_scale, rng
            ),
            **affine_parameters(3, (hidden_dim, num_classes), weight_scale, rng),
        }
        super().__init__(params, reg, dtype)
        self.conv_param = {"stride": 1, "pad": filter_size // 2}
        self.pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}

    def layers(self, mode: str) -> Iterator[Layer]:
        """Yield the layers, in order; they have one mode."""
        yield CONV, ("W1", "b1"), (self.conv_param,)
        yield RELU, (), ()
        yield POOL, (), (self.pool_param,)
        yield AFFINE, ("W2", "b2"), ()
        yield RELU, (), ()
        yield AFFINE, ("W3", "b3"), ()
