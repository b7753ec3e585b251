"""Adaptive average pooling: from a map of any size to one of a given size.

He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1406.4729; the bins are torch's.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class AdaptiveAveragePooling2D(keras.layers.AdaptiveAveragePooling2D):
    """Keras' AdaptiveAveragePooling2D, also for maps of unknown size.

    On TensorFlow, Keras' layer raises an error for such maps when a network for any size is called
    with a second size.
    Bin i of n over s pixels goes from floor(i * s / n) up to ceil((i + 1) * s / n).

    Args:
        output_size: Height and width of the output, a number or a pair.
        data_format: "channels_last".
        **settings: See keras.layers.AdaptiveAveragePooling2D.

    Shapes:
        (batch, h, w, c) -> (batch, height, width, c)

    >>> x = ops.reshape(ops.arange(5.0), (1, 1, 5, 1))
    >>> AdaptiveAveragePooling2D((1, 2))(x)[0, 0, :, 0].numpy().tolist()
    [1.0, 3.0]
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        data_format: str = "channels_last",
        **settings: Any,
    ):
        super().__init__(output_size, data_format, **settings)

    def call(self, inputs):
        height, width = (
            self._bins(side, size)
            for side, size in zip(ops.shape(inputs)[1:3], self.output_size, strict=True)
        )
        rows = ops.einsum("bhwc,ih->biwc", inputs, height)
        return ops.einsum("biwc,jw->bijc", rows, width)

    def _bins(self, side, size):
        """Compute the weight of each pixel in each bin, (size, side)."""
        pixel, first = ops.arange(side), ops.arange(size)[:, None] * side
        begin, end = first // size, -(-(first + side) // size)
        inside = ops.logical_and(pixel >= begin, pixel < end)
        shares = ops.cast(inside, "float32") / ops.cast(end - begin, "float32")
        return ops.cast(shares, self.compute_dtype)
