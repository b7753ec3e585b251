"""ZFNet: AlexNet with a finer first layer, chosen by visualizing what AlexNet's filters learn.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1311.2901, figure 3.
"""

import keras

from cvcourse.models.alexnet import convolutions, dense_head

MINIMUM_SIZE = 47  # leaves the third pool 2x2 pixels; it rounds up

ROWS = (  # filters, kernel, stride, padding, groups, layers that follow
    (96, 7, 2, 1, 1, ("pool", "norm")),
    (256, 5, 2, 0, 1, ("pool", "norm")),
    (384, 3, 1, 1, 1, ()),
    (384, 3, 1, 1, 1, ()),
    (256, 3, 1, 1, 1, ("pool",)),
)


def zfnet(
    *,
    width=1.0,
    hidden=(4096, 4096),
    dropout=0.5,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="zfnet",
):
    """The five convolutions and three dense layers of figure 3.

    The contrast normalization is AlexNet's, since the paper gives no numbers.

    Args:
        width: Factor for the filters.
        hidden: Units of each hidden dense layer.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is (6,
        6, 256) at the usual size; the dense layers average other sizes to 6x6.
    """
    inputs = keras.Input(input_shape, name="image")
    # The pools round up: the figure's sizes are 110, 55, 26, 13, 6.
    x = convolutions(inputs, ROWS, width, pool_padding="ceil")
    logits = dense_head(x, 6, hidden, dropout, num_classes, first=6)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {"zfnet": zfnet}
