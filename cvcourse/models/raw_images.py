"""Raw pixels in, logits out: resize, color conversion and normalization as a model's first layers.

A saved model then takes what a camera or a file gives, and nobody has to remember its statistics.
"""

import keras
from keras import layers, ops


def with_preprocessing(net, image_shape, *, mean, variance):
    """`net` behind layers that turn images of `image_shape`, 0..255, into what it was built for.

    Subtracts `mean` and divides by the root of `variance`, given per channel of the raw images;
    resizes (bilinear); repeats gray into three channels or weighs three into gray. The returned
    keras.Model is one flat graph of copies of net's layers, so each tap of net is one of it too.

    Shapes: (batch, *image_shape) -> net's output. Raises ValueError where the channels cannot be
    converted (only 1 and 3 can).
    """
    *size, channels = net.input_shape[1:]
    image = keras.Input(image_shape, dtype="float32", name="image")
    exact = {"dtype": "float32"}  # bfloat16 would round the pixels before the mean is taken off
    x = layers.Normalization(mean=mean, variance=variance, name="normalization", **exact)(image)
    if tuple(size) != tuple(image_shape[:2]):
        # Keras' layer has call(training=True), which then holds for all layers behind it.
        x = ops.image.resize(x, tuple(size), data_format="channels_last")
    if channels != image_shape[-1]:
        x = convert_channels(x, image_shape[-1], channels)
    return behind(image, x, net)


def behind(image, x, net):
    """The model from the input `image` to the output of copies of net's layers, called on `x`.

    A layer or operation of net gets another name where one from `image` to `x` has its own: a net
    that was read from a file may resize as well.
    """
    model = keras.Model(image, _call_copies(net, x, keras.Model(image, x)), name=net.name)
    model.set_weights(net.get_weights())
    return model


def convert_channels(x, given, wanted, dtype=None):
    """Gray repeated into three channels, or three weighed into gray. Raises ValueError.

    `dtype` is that of layers, None the global policy.
    """
    if (given, wanted) == (1, 3):
        return layers.Concatenate(name="gray_to_rgb", dtype=dtype)([x, x, x])
    if (given, wanted) == (3, 1):
        return ops.image.rgb_to_grayscale(x, data_format="channels_last")
    raise ValueError(
        f"the images have {given} channels and the net takes {wanted}: only gray (1) and RGB (3) "
        f"convert into each other; build the net with {given} channels"
    )


def _call_copies(net, x, before):
    """The outputs of copies of net's layers, called one by one on `x`, the output of `before`."""
    taken, names, outputs = {operation.name for operation in before.operations}, {}, {}

    def copy(layer):
        config, name = layer.get_config(), layer.name
        while name in taken:
            name += "_"
        taken.add(name)
        if "name" in config:  # else Keras finds one that is not taken
            config["name"] = name
        copied = type(layer).from_config(config)
        names[copied.name] = layer.name
        return copied

    def call(layer, *args, **kwargs):
        output = outputs[names.get(layer.name, layer.name)] = layer(*args, **kwargs)
        return output

    def output_of(tensor):
        operation, _, index = tensor._keras_history
        return keras.tree.flatten(outputs[operation.name])[index]

    keras.models.clone_model(net, input_tensors=x, clone_function=copy, call_function=call)
    return keras.tree.map_structure(output_of, net.output)
