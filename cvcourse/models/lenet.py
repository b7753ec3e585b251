"""LeNet-5: convolve, subsample, repeat, then classify with dense layers.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B.
"""

import keras
from keras import layers

MINIMUM_SIZE = 32  # C5 is a 5x5 kernel on a 5x5 map: figure 2


def lenet5(
    *,
    activation="tanh",
    dropout=0.0,
    input_shape=(32, 32, 1),
    num_classes=10,
    name="lenet5",
):
    """Figure 2 of the paper as it is built today, 61,706 parameters.

    C3 sees all of S2's maps, subsampling is plain averaging, and the output layer is a softmax's.
    Shapes: (batch, 32, 32, 1) -> (batch, num_classes). `dropout` is the rate before the logits.
    """
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(6, 5, activation=activation, name="c1")(inputs)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation=activation, name="c3")(x)
    x = layers.AveragePooling2D(2, name="features")(x)  # S4
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation=activation, name="c5")(x)
    x = layers.Dense(84, activation=activation, name="f6")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "lenet5": lenet5,
}
