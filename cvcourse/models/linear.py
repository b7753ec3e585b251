"""Linear softmax classifier and multilayer perceptron, the first networks of the course.

A class score is a weighted sum of all pixels (lecture 2), or of learned features, each a rectified
weighted sum (lecture 4).
"""

from functools import partial

import keras
from keras import layers

MINIMUM_SIZE = 1
FIXED_SIZE = True  # dense layers on the flattened image


def mlp(*, hidden=(512, 256), dropout=0.0, input_shape=(32, 32, 3), num_classes=10, name="mlp"):
    """Fully connected ReLU layers, then one score for each class.

    Initialization: He et al. 2015, eq. 10.

    Args:
        hidden: Units of each hidden layer; () is the linear classifier.
        dropout: Dropout rate after each hidden layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        output (hidden[-1],) of the last hidden layer; the flattened image if there is none.

    Raises:
        ValueError: If a hidden layer has less than 1 unit.
    """
    if not all(isinstance(units, int) and units > 0 for units in hidden):
        raise ValueError(f"hidden layers have 1 unit or more each; received hidden={hidden}")
    inputs = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten" if hidden else "features")(inputs)
    for i, units in enumerate(hidden, start=1):
        x = layers.Dense(
            units,
            activation="relu",
            kernel_initializer="he_normal",
            name="features" if i == len(hidden) else f"hidden{i}",
        )(x)
        if dropout and (i < len(hidden) or num_classes):
            x = layers.Dropout(dropout, name=f"dropout{i}")(x)
    if num_classes is None:
        return keras.Model(inputs, x, name=name)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "linear": partial(mlp, hidden=()),
    "mlp": mlp,
    # LeCun et al. 1998, section III.C.4; the net of papers on pruning: 266,610 parameters
    "lenet_300_100": partial(mlp, hidden=(300, 100), input_shape=(28, 28, 1)),
}
