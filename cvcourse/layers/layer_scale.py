"""Layer scale: a factor for each channel, small at first, so that a deep net begins near identity.

Touvron et al., "Going deeper with Image Transformers", ICCV 2021, https://arxiv.org/abs/2103.17239.
"""

import keras


@keras.saving.register_keras_serializable("cvcourse")
class LayerScale(keras.layers.Layer):
    """x * scale, a learned factor a channel that begins as `initial`: (…, c) -> the same."""

    def __init__(self, initial=1e-6, **kwargs):
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
