"""Radial basis output: distances of a vector to each class's code.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class RadialBasis(keras.layers.Layer):
    """Compute minus the squared distances to fixed codes: eq. 7 as logits.

    Cross-entropy on them is the paper's eq. 9, without its constant that bounds the penalties.

    Args:
        codes: Codes (classes, n), one of each class.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, n) -> (batch, classes)

    >>> RadialBasis([[1, 1], [-1, 1]])(ops.convert_to_tensor([[1.0, 1.0]])).numpy().tolist()
    [[-0.0, -4.0]]
    """

    def __init__(self, codes: Sequence[Sequence[float]], **kwargs: Any):
        super().__init__(**kwargs)
        self.codes = codes

    def call(self, inputs):
        codes = ops.convert_to_tensor(self.codes, self.compute_dtype)
        return -ops.sum(ops.square(inputs[:, None] - codes), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.codes))
