"""Linear softmax classifier and multilayer perceptron: where the course starts.

One score a class, a weighted sum of all pixels (lecture 2); or the same on top of learned
features, each a rectified weighted sum (lecture 4).
"""

from functools import partial

import keras
from keras import layers

MINIMUM_SIZE = 1
FIXED_SIZE = True  # dense layers on the flattened image


def mlp(*, hidden=(512, 256), dropout=0.0, input_shape=(32, 32, 3), num_classes=10, name="mlp"):
    """Fully connected ReLU layers of `hidden` units each, then one score a class.

    Shapes: (batch, h, w, c) -> (batch, num_classes). `dropout` is the rate after each hidden layer.
    He initialization, as the ReLUs want it (He et al. 2015, eq. 10).
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
}
