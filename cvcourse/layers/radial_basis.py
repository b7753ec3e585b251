"""Radial basis output: how far a vector is from each class's code.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class RadialBasis(keras.layers.Layer):
    """Minus the squared distances of x to fixed `codes`, a class each: eq. 7 as logits.

    Cross-entropy on them is the paper's eq. 9, save its constant that bounds the penalties.

    Shapes: (batch, n) -> (batch, len(codes)); codes (classes, n).
    """

    def __init__(self, codes, **kwargs):
        super().__init__(**kwargs)
        self.codes = codes

    def call(self, inputs):
        codes = ops.convert_to_tensor(self.codes, self.compute_dtype)
        return -ops.sum(ops.square(inputs[:, None] - codes), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.codes))
