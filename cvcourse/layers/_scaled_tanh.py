"""Scaled tanh: the activation of the early convolutional nets.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, appendix A.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
def scaled_tanh(x: Any) -> Any:
    """Compute 1.7159 tanh(2x / 3), which maps 1 to 1 and -1 to -1, where its curvature is largest.

    Args:
        x: Tensor.

    Returns:
        Tensor of the same shape.

    >>> float(scaled_tanh(ops.ones(()))).__round__(4)
    1.0
    """
    return 1.7159 * ops.tanh(2 / 3 * x)
