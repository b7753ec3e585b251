"""Adaptive average pooling: a map of any size becomes one of a given size.

He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1406.4729; the bins are torch's.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class AdaptiveAveragePooling2D(keras.layers.AdaptiveAveragePooling2D):
    """Keras' AdaptiveAveragePooling2D, for maps whose size is known only when they come, too.

    On TensorFlow Keras' layer refuses those, so a net that takes any size breaks at its second
    one. Bin i of n over s pixels goes from floor(i * s / n) up to ceil((i + 1) * s / n).

    Shapes: (batch, h, w, c) -> (batch, height, width, c); the last axis is that of channels.
    """

    def __init__(self, output_size, data_format="channels_last", **settings):
        super().__init__(output_size, data_format, **settings)

    def call(self, inputs):
        height, width = (
            self._bins(side, size)
            for side, size in zip(ops.shape(inputs)[1:3], self.output_size, strict=True)
        )
        rows = ops.einsum("bhwc,ih->biwc", inputs, height)
        return ops.einsum("biwc,jw->bijc", rows, width)

    def _bins(self, side, size):
        """(size, side): what each pixel adds to each bin."""
        pixel, first = ops.arange(side), ops.arange(size)[:, None] * side
        begin, end = first // size, -(-(first + side) // size)
        inside = ops.logical_and(pixel >= begin, pixel < end)
        shares = ops.cast(inside, "float32") / ops.cast(end - begin, "float32")
        return ops.cast(shares, self.compute_dtype)
