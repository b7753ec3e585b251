"""Preprocessing as a model's first layers: resizing, color conversion and normalization.

A saved model then takes raw pixels, and its users need not know the statistics of its data.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike


def with_preprocessing(
    net: keras.Model,
    image_shape: Sequence[int],
    *,
    mean: ArrayLike,
    variance: ArrayLike,
) -> keras.Model:
    """Put preprocessing before a network, so that it takes raw images of 0..255.

    Normalizes, resizes (bilinear), and repeats gray into three channels or converts RGB to gray.

    Args:
        net: A functional keras.Model of images.
        image_shape: (height, width, channels) of the raw images.
        mean: Mean of each channel of the raw images, which is subtracted.
        variance: Variance of each channel, by whose square root the difference is divided.

    Returns:
        A keras.Model (batch, *image_shape) -> net's output: one flat graph with copies of net's
        layers, so that `get_layer` finds each layer of net.

    Raises:
        ValueError: If the channels cannot be converted, only 1 and 3 can, or `image_shape`, `mean`
            or `variance` has another number of values.

    >>> net = keras.Sequential([keras.Input((32, 32, 1)), layers.Flatten()])
    >>> with_preprocessing(net, (28, 28, 3), mean=[128.0] * 3, variance=[4096.0] * 3).input_shape
    (None, 28, 28, 3)
    """
    if not isinstance(net, keras.Model):
        raise ValueError(f"with_preprocessing takes a keras.Model; received {net!r}")
    if len(image_shape) != 3:
        raise ValueError(
            f"image_shape is (height, width, channels), without the batch; received {image_shape}"
        )
    for statistic, values in (("mean", mean), ("variance", variance)):
        if np.size(values) not in (1, image_shape[-1]):
            raise ValueError(
                f"{statistic} has {np.size(values)} values, and the images have {image_shape[-1]} "
                "channels"
            )
    *size, channels = net.inputs[0].shape[1:]
    image = keras.Input(image_shape, dtype="float32", name="image")
    exact = {"dtype": "float32"}  # bfloat16 would round the pixels before the mean is subtracted
    x = layers.Normalization(mean=mean, variance=variance, name="normalization", **exact)(image)
    if tuple(size) != tuple(image_shape[:2]):
        # Keras' layer has call(training=True), which would then hold for all layers after it.
        x = ops.image.resize(x, tuple(size), data_format="channels_last")
    if channels != image_shape[-1]:
        x = convert_channels(x, image_shape[-1], channels)
    return prepend(image, x, net)


def prepend(image: keras.KerasTensor, x: keras.KerasTensor, net: keras.Model) -> keras.Model:
    """Put the layers from `image` to `x` before a network.

    A layer or operation of net is renamed if one from `image` to `x` has its name: a net that was
    loaded from a file may have its own preprocessing.

    Args:
        image: The input of the new model.
        x: The input for `net`, computed from `image`.
        net: A functional keras.Model of images.

    Returns:
        A keras.Model from `image` to the outputs of copies of net's layers.
    """
    model = keras.Model(image, _call_copies(net, x, keras.Model(image, x)), name=net.name)
    model.set_weights(net.get_weights())
    return model


def convert_channels(x, given, wanted, dtype=None):
    """Repeat gray into three channels, or convert RGB to gray; raise ValueError for others.

    `dtype` is the dtype policy of layers, None the global one.
    """
    if (given, wanted) == (1, 3):
        return layers.Concatenate(name="gray_to_rgb", dtype=dtype)([x, x, x])
    if (given, wanted) == (3, 1):
        return ops.image.rgb_to_grayscale(x, data_format="channels_last")
    raise ValueError(
        f"the images have {given} channels and the net takes {wanted}: only gray (1) and RGB (3) "
        f"can be converted into each other; build the net with {given} channels"
    )


def _call_copies(net, x, before):
    """Return the outputs of copies of net's layers, called on `x`, the output of `before`."""
    taken = {operation.name for operation in before.operations}
    originals, results = {}, {}  # {copy: its layer}, {layer: output of its copy}

    def copy(layer):
        config, name = layer.get_config(), layer.name
        while name in taken:
            name += "_"
        taken.add(name)
        if "name" in config:  # else Keras chooses a free one
            config["name"] = name
        made = type(layer).from_config(config)
        originals[made] = layer
        return made

    def call(layer, *args, **kwargs):
        results[originals[layer]] = layer(*args, **kwargs)
        return results[originals[layer]]

    def copied(tensor):
        operation, _, index = tensor._keras_history
        return keras.tree.flatten(results[operation])[index]

    if isinstance(net, keras.Sequential):
        net = keras.Model(net.inputs[0], net.outputs[0])
    keras.models.clone_model(net, input_tensors=x, clone_function=copy, call_function=call)
    return keras.tree.map_structure(copied, net.output)
