"""ZFNet: AlexNet with a finer first layer, chosen by looking at what its filters had learned.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1311.2901, figure 3.
"""

import keras

from cvcourse.models.alexnet import convolutions, dense_head

MINIMUM_SIZE = 47  # the least that leaves the third pool two pixels a side of a window's three

ROWS = (  # filters, kernel, stride, padding, groups, what follows
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
    """Figure 3's five convolutions, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (6, 6, 256) at the usual size,
    and is averaged to 6x6 at others. `dropout` is the rate after each hidden layer. The contrast
    normalization, for which the paper gives no numbers, is AlexNet's.
    """
    inputs = keras.Input(input_shape, name="image")
    # Of the figure's sizes 110, 55, 26, 13, 6 the pools round up.
    x = convolutions(inputs, ROWS, width, pool_padding="ceil")
    logits = dense_head(x, 6, hidden, dropout, num_classes, first=6)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {"zfnet": zfnet}
