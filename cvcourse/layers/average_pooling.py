"""Average pooling that means the same on every backend: Keras', mended on torch."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class AveragePooling2D(keras.layers.AveragePooling2D):
    """Keras' AveragePooling2D, whose "same" windows average what they have of the map.

    On torch, Keras (3.15) pads uneven borders with copies of the last pixels and averages those
    too. There this takes the mean over the zero-padded map and divides it by that over a padded
    map of ones. Shapes: (batch, h, w, c) -> (batch, h / strides, w / strides, c).
    """

    def __init__(
        self, pool_size, strides=None, padding="valid", data_format="channels_last", **settings
    ):
        super().__init__(pool_size, strides, padding, data_format, **settings)

    def call(self, inputs):
        if keras.backend.backend() != "torch" or self.padding != "same":
            return super().call(inputs)
        sides = zip(inputs.shape[1:3], self.pool_size, self.strides, strict=True)
        missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in sides]
        widths = [(0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)]
        total, share = [
            ops.average_pool(
                ops.pad(x, widths), self.pool_size, self.strides, data_format="channels_last"
            )
            for x in (inputs, ops.ones((1, *inputs.shape[1:3], 1), inputs.dtype))
        ]
        return total / share
