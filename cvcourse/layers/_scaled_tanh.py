"""The squashing function of the early convolutional nets.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, appendix A.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
def scaled_tanh(x):
    """1.7159 tanh(2x / 3): it maps 1 to 1 and -1 to -1, where its curvature is largest."""
    return 1.7159 * ops.tanh(2 / 3 * x)
