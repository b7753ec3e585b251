"""Layer scale: a small initial factor for each channel, so that blocks start near the identity.

Touvron et al., "Going deeper with Image Transformers", ICCV 2021, https://arxiv.org/abs/2103.17239.
"""

from typing import Any

import keras


@keras.saving.register_keras_serializable("cvcourse")
class LayerScale(keras.layers.Layer):
    """Multiply by a learned factor for each channel.

    Args:
        initial: Initial value of the factors.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (…, c) -> (…, c)

    >>> LayerScale(0.5)(keras.ops.ones((1, 2))).numpy().tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, initial: float = 1e-6, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale",
            shape=input_shape[-1:],
            initializer=keras.initializers.Constant(self.initial),
        )

    def call(self, inputs):
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape
