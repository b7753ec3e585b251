"""LeNet-5: convolve, subsample, repeat, then classify with dense layers.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import RadialBasis, SparseConv2D, scaled_tanh

# C5 is a 5x5 kernel on a 5x5 map (figure 2); Caffe's second pool leaves one pixel of 16
MINIMUM_SIZE = {"lenet5": 32, "lenet5_1998": 32, "lenet5_caffe": 16}
FIXED_SIZE_LOGITS = True  # dense layers on the flattened map

TABLE_1 = (  # maps of S2 that each map of C3 takes
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
DIGITS = """
..###.. ...#... ..###.. ..###.. .....#. ####### ..###.. ####### ..###.. ..###..
.#...#. ..##... .#...#. .#...#. ....##. #...... .#...#. ......# .#...#. .#...#.
#.....# .#.#... #.....# #.....# ...#.#. #...... #.....# ......# #.....# #.....#
#.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# .....#. ..#..#. #.###.. #...... .....#. .#...#. #.....#
#.....# ...#... .....#. ..###.. .#...#. ##...#. #.###.. ....#.. ..###.. .#...##
#.....# ...#... ....#.. .....#. #....#. ......# ##...#. ....#.. .#...#. ..###.#
#.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... ..#.... ......# .....#. ......# #.....# ...#... #.....# ......#
#.....# ...#... .#..... #.....# .....#. #.....# #.....# ..#.... #.....# #.....#
.#...#. ...#... #...... .#...#. .....#. .#...#. .#...#. ..#.... .#...#. .#...#.
..###.. .#####. ####### ..###.. .....#. ..###.. ..###.. ..#.... ..###.. ..###..
"""  # 7x12 pixels each, after figure 3


def lenet5(
    *,
    activation="tanh",
    dropout=0.0,
    input_shape=(32, 32, 1),
    num_classes=10,
    name="lenet5",
):
    """LeNet-5 (figure 2) as it is built today: 61,706 parameters.

    C3 takes all maps of S2, subsampling is plain averaging, and the output layer gives the logits
    of a softmax.

    Args:
        activation: Activation of the hidden layers.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is S4,
        (5, 5, 16) at the usual size.
    """
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(6, 5, activation=activation, name="c1")(inputs)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation=activation, name="c3")(x)
    x = layers.AveragePooling2D(2, name="features")(x)  # S4
    if num_classes is None:
        return keras.Model(inputs, x, name=name)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation=activation, name="c5")(x)
    x = layers.Dense(84, activation=activation, name="f6")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)


def lenet5_1998(
    *,
    output="rbf",
    dropout=0.0,
    input_shape=(32, 32, 1),
    num_classes=10,
    name="lenet5_1998",
):
    """LeNet-5 (figure 2) as it was built in 1998: 60,000 parameters.

    C3 takes the maps of table I, and subsampling learns one coefficient and one bias for each map.

    Args:
        output: Output layer: "rbf", radial basis functions whose codes are not trained, or "dense".
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is S4,
        (5, 5, 16) at the usual size.

    Raises:
        ValueError: For an unknown output.
    """
    outputs = {
        "rbf": lambda: RadialBasis(codes(num_classes), dtype="float32", name="logits"),
        "dense": lambda: layers.Dense(num_classes, dtype="float32", name="logits"),
    }
    output = pick("output", output, outputs)
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(6, 5, **squashing(25 * inputs.shape[-1]), name="c1")(inputs)
    x = subsample(x, name="s2")
    x = SparseConv2D(TABLE_1, 5, name="c3_sum")(x)
    x = layers.Activation(scaled_tanh, name="c3")(x)
    x = subsample(x, name="features")  # S4
    if num_classes is None:
        return keras.Model(inputs, x, name=name)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, **squashing(x.shape[-1]), name="c5")(x)
    x = layers.Dense(84, **squashing(120), name="f6")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, output()(x), name=name)


def lenet5_caffe(*, dropout=0.0, input_shape=(28, 28, 1), num_classes=10, name="lenet5_caffe"):
    """LeNet-5 of the Caffe framework: 431,080 parameters.

    It is the "LeNet-5" of papers on pruning, such as Han et al. 2015 and 2016. Only `ip1` has an
    activation. Source: https://github.com/BVLC/caffe, examples/mnist/lenet_train_test.prototxt.

    Args:
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        the second pool, (4, 4, 50) at the usual size.
    """
    xavier = {"kernel_initializer": "lecun_uniform"}  # Caffe's "xavier" counts inputs only
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(20, 5, **xavier, name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(50, 5, **xavier, name="conv2")(x)
    x = layers.MaxPooling2D(2, name="features")(x)
    if num_classes is None:
        return keras.Model(inputs, x, name=name)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(500, activation="relu", **xavier, name="ip1")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", **xavier, name="logits")(x)
    return keras.Model(inputs, logits, name=name)


def squashing(fan_in, weights="kernel"):
    """Return the settings of a layer whose units have `fan_in` inputs each: appendix A."""
    uniform = keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)
    return {"activation": scaled_tanh, f"{weights}_initializer": uniform}


def subsample(x, *, name):
    """2x2 means, times a coefficient, plus a bias, squashed: (h, w, c) -> (h/2, w/2, c)."""
    x = layers.AveragePooling2D(2, name=f"{name}_mean")(x)
    return layers.DepthwiseConv2D(1, **squashing(1, "depthwise"), name=name)(x)


def codes(classes):
    """Return F6's target for each class: ten digits, then random bits (section II.B)."""
    digits = ["".join(DIGITS.split()[digit::10]) for digit in range(10)]
    drawn = [[1 if pixel == "#" else -1 for pixel in digit] for digit in digits[:classes]]
    bits = np.random.default_rng(0).choice((-1, 1), (max(classes - 10, 0), 84))
    return drawn + bits.tolist()


VARIANTS: dict[str, Callable[..., keras.Model]] = {
    "lenet5": lenet5,
    "lenet5_1998": lenet5_1998,
    "lenet5_caffe": lenet5_caffe,
}
