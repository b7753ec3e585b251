"""Feature extractor from any trained and saved network.

The features are the last pooled ones, before the classifier, as in Sharif Razavian et al., "CNN
Features off-the-shelf", 2014, https://arxiv.org/abs/1403.6382.
"""

import keras
import numpy as np
from keras import layers

from cvcourse.layers.graph import operations
from cvcourse.models.pretrained.fitting import APART
from cvcourse.state_dict import require_finite

UNPOOLED = (layers.Flatten, layers.Reshape)  # turn a map into a vector without pooling
RESERVED = ("image", "logits", "pooled")  # for layers around the features


def feature_extractor(model: keras.Model) -> tuple[keras.Model, str]:
    """Return the part of a network up to its last pooled features.

    Nested models are flattened, so that each of their layers is a layer of the result. The layers
    are copies: `model` does not change. Trained layers compute in the global dtype policy if that
    is a mixed one, otherwise in the one that they were saved with.

    Args:
        model: A functional or sequential keras.Model of one input, images (batch, height, width, 1
            or 3), and one output: class scores, an embedding or a map.

    Returns:
        A pair: a keras.Model from the images to the features (batch, c), and the name of the layer
        or operation that computes them: the last pooling before the classifier. If there is none,
        the features are the mean over the positions of the last map or over the last tokens.

    Raises:
        ValueError: If the model is subclassed, has other inputs or outputs, has no such layer, or
            has weights that are NaN or infinite.

    >>> image = keras.Input((8, 8, 3))
    >>> x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(4, 3)(image))
    >>> net, place = feature_extractor(keras.Model(image, layers.Dense(10)(x)))
    >>> net.output_shape, place
    ((None, 4), 'pool')
    """
    if not _has_graph(model):
        raise ValueError("it is a subclassed model: a functional or sequential one is needed")
    for kind, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            raise ValueError(f"it has {len(tensors)} {kind}, but one is needed")
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[-1] not in (1, 3):
        raise ValueError(
            "images (batch, height, width, 1 or 3) are needed as its input; it takes "
            f"{_shown(shape)}"
        )
    flat = _opened(model)
    features = _last_pooled(flat)
    place = features._keras_history.operation.name
    pools = {4: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling1D}
    if pool := pools.get(len(features.shape)):
        features = pool(data_format="channels_last", name="pooled")(features)
    net = keras.Model(flat.inputs[0], features, name=model.name)
    require_finite(net.name, {weight.path: np.array(weight) for weight in net.weights})
    return net, place


def scales_pixels(net: keras.Model) -> bool:
    """Check whether a network scales pixels before its first trained layer.

    Args:
        net: A functional keras.Model of images without nested models, such as `feature_extractor`
            returns.

    Returns:
        False if black and white images reach that layer as 0 and 255.

    >>> image = keras.Input((8, 8, 3))
    >>> scales_pixels(keras.Model(image, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))))
    True
    """
    before = net
    while trained := [ins for operation, ins, _ in operations(before) if _is_trained(operation)]:
        # A shared layer is found at its last call.
        before = keras.Model(net.inputs[0], trained[0][0])
    shape = [side or 32 for side in net.inputs[0].shape[1:]]
    images = np.stack([np.zeros(shape), np.full(shape, 255)]).astype("float32")
    black, white = np.array(before(images, training=False), "float32")
    return bool(np.abs(black).max() > 1e-3 or abs(white.max() - 255) > 1e-3)


def _last_pooled(net):
    """Return the tensor of the features, found by going back from the output past vectors."""
    tensor, one_place = net.outputs[0], None
    headed = len(tensor.shape) == 4  # a map as output, or trained layers after `tensor`
    while _is_vector(tensor):
        operation, index, _ = tensor._keras_history
        ins = operation._inbound_nodes[index].input_tensors
        if len(tensor.shape) == 4 and headed and one_place is None:
            one_place = tensor  # the last map; of a small image it may have a single position
        if not ins or _pools(operation):
            one_place = None
            break
        if not (isinstance(operation, UNPOOLED) or (len(ins) == 1 and _is_vector(ins[0]))):
            break
        headed = headed or _is_trained(operation)
        tensor = ins[0]
    tensor = tensor if one_place is None else one_place
    if not any(_is_trained(op) for op, *_ in operations(keras.Model(net.inputs[0], tensor))):
        raise ValueError(
            "it has no pooled features: no trained layer comes before the pixels are flattened "
            "into a vector"
        )
    if not _is_vector(tensor) and tuple(tensor.shape[1:3]) == tuple(net.inputs[0].shape[1:3]):
        raise ValueError(
            f"it has no pooled features: its last map, {_shown(tensor.shape)}, is as large as its "
            "images"
        )
    return tensor


def _is_vector(tensor):
    """Check whether a tensor has one vector per image: (batch, c) or (batch, 1, 1, c)."""
    *places, channels = tensor.shape[1:]
    return all(side == 1 for side in places) and channels is not None


def _pools(operation):
    """Check whether an operation pools, even if the map of a small image has a single position."""
    name = type(operation).__name__
    return "Pool" in name or name in ("Mean", "Max")  # the latter two are operations of keras.ops


def _is_trained(operation):
    """Check whether an operation has weights and is not preprocessing."""
    return bool(getattr(operation, "weights", ())) and not isinstance(operation, APART)


def _opened(model):
    """Return a functional model of copies of a model's layers, with nested models flattened."""
    copies, names = {}, {*RESERVED}

    def copy(layer):
        if _has_graph(layer) or not isinstance(layer, layers.Layer):
            return layer  # a nested model, or an operation without weights
        if id(layer) not in copies:
            name = layer.name
            while name in names:
                name = f"{name}_"
            names.add(name)
            config = {**layer.get_config(), "name": name}
            if keras.config.dtype_policy().name != "float32" and _is_trained(layer):
                config["dtype"] = keras.config.dtype_policy()
            if isinstance(layer, layers.Normalization) and layer.weights:
                # As arguments: later copies of the layer would lose the adapted statistics.
                mean, variance, *_ = (weight.tolist() for weight in layer.get_weights())
                config |= {"mean": mean, "variance": variance}
            copies[id(layer)] = layer, type(layer).from_config(config)
        return copies[id(layer)][1]

    def called(nested, tensors):
        if isinstance(nested, keras.Sequential):
            for layer in nested.layers:
                tensors = called(layer, tensors) if _has_graph(layer) else copy(layer)(tensors)
            return tensors
        return keras.tree.map_structure(
            lambda output: computed(output, nested.input, tensors), nested.output
        )

    def computed(output, inputs, tensors):
        last = tensors

        def call(layer, *args, **options):
            nonlocal last
            last = called(layer, *args) if _has_graph(layer) else layer(*args, **options)
            return last

        keras.models.clone_model(  # its result has other inputs, and is not used
            keras.Model(inputs, output),
            input_tensors=tensors,
            clone_function=copy,
            call_function=call,
        )
        return keras.tree.flatten(last)[output._keras_history.tensor_index]

    image = keras.Input(model.inputs[0].shape[1:], name="image")  # of any batch size
    features = computed(model.outputs[0], model.inputs[0], image)
    flat = keras.Model(image, features, name=model.name)
    for layer, other in copies.values():
        if other.weights:
            other.set_weights(layer.get_weights())
    return flat


def _has_graph(layer):
    """Check whether a layer is a functional or sequential model."""
    return isinstance(layer, keras.Model) and bool(getattr(layer, "outputs", ()))


def _shown(shape):
    """Format a shape, with "any" for None."""
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
