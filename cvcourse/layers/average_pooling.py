"""Average pooling with equal results on every backend: Keras' layer, corrected on torch."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class AveragePooling2D(keras.layers.AveragePooling2D):
    """Keras' AveragePooling2D, whose "same" windows average the pixels inside the map.

    On torch, Keras (3.15) pads uneven borders with copies of the last pixels and includes them in
    the average. On that backend, this layer divides the mean over the zero-padded map by the mean
    over a zero-padded map of ones.

    Args:
        pool_size: Height and width of a window, a number or a pair.
        strides: Strides of the windows. Defaults to `pool_size`.
        padding: "valid" or "same".
        data_format: "channels_last".
        **settings: See keras.layers.AveragePooling2D.

    Shapes:
        (batch, h, w, c) -> (batch, h / strides, w / strides, c)

    >>> x = ops.reshape(ops.arange(3.0), (1, 1, 3, 1))
    >>> AveragePooling2D((1, 2), padding="same")(x)[0, 0, :, 0].numpy().tolist()
    [0.5, 2.0]
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int],
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str = "channels_last",
        **settings: Any,
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
