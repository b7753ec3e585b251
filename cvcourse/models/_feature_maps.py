"""Models that end inside a network: at its features, or at a feature map for each stride."""

import re
from collections.abc import Iterable
from typing import Any

import keras
from keras import layers, ops

from cvcourse.errors import pick, unknown
from cvcourse.layers import ClassToken
from cvcourse.layers.graph import operations
from cvcourse.layers.receptive_field import SEES_ALL
from cvcourse.models.registry import build

# Layers whose output is shown as a map in a paper's figure, by the names of each family.
TAP = re.compile(
    r"stem(_unit|_conv|_bn|_cell\d)?|stage\d+(_\d+)?|conv\d+|norm\d+|pool\d+|fire\d+|inception\d\w"
    r"|conv2d_\w+_\dx\d|mixed_\d\w|c\d|s\d"
)
POOLINGS = ("avg", "max", "token")


def features(net: keras.Model, pooling: str | None = None) -> keras.Model:
    """Cut a network after its layer `features`, the last map before the classifier.

    Args:
        net: A keras.Model that has a layer `features`, as all networks of `REGISTRY` have, also
            after `with_preprocessing` and when loaded from a file.
        pooling: "avg" or "max" pools the map over height and width, or a ViT's tokens over the
            patches; "token" takes a ViT's class token. Tokens are normalized before pooling.
            Defaults to no pooling.

    Returns:
        A keras.Model from net's images to the map (batch, h, w, c), the tokens (batch, n, c) of a
        ViT or the vector (batch, c) of an MLP; with `pooling` to (batch, c). It has net's layers:
        weights are shared, not copied.

    Raises:
        ValueError: If net is no model, or has no layer `features`; for an unknown `pooling`, and
            for "token" if net has no class token.

    >>> net = build("resnet18", num_classes=10)
    >>> features(net).output_shape, features(net, pooling="avg").output_shape
    ((None, 7, 7, 512), (None, 512))
    """
    if isinstance(net, str):
        raise ValueError(f'features takes a model: use models.build("{net}", num_classes=None)')
    if not isinstance(net, keras.Model):
        raise ValueError(f"features takes a keras.Model; received {net!r}")
    if pooling not in (None, *POOLINGS):
        raise ValueError(unknown("pooling", pooling, [*POOLINGS, None]))
    x = _features(net)
    if pooling == "token" and not _has_class_token(net):
        raise ValueError(f'{net.name} has no class token: choose pooling="avg" or "max"')
    if pooling == "token":
        x = x[:, 0]
    elif pooling and len(x.shape) == 4:
        pools = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
        x = pools[pooling](name="pool")(x)
    elif pooling and len(x.shape) == 3:
        x = x[:, 1:] if _has_class_token(net) else x  # as timm's global_pool does
        x = {"avg": ops.mean, "max": ops.max}[pooling](x, axis=1)
    return keras.Model(_input(net), x, name=net.name)


def backbone(
    net: str | keras.Model,
    stages: int | str | Iterable[int | str] | None = None,
    **settings: Any,
) -> keras.Model:
    """Return a model whose outputs are a network's feature maps, as detectors need them.

    A map is the output of a layer `stem`, `stage1`, …, or, in networks without stages, of a layer
    named in the paper, such as `fire3`. The last map of each stride is chosen, as in timm's
    `features_only`; unlike in timm, DenseNet's last map is the one before the last norm, and
    MobileNetV3's the one before the last convolution. A ViT's tokens are arranged as one map,
    `features`.

    Args:
        net: Name that `build` takes, or a keras.Model with such layers.
        stages: Maps to return, by number (3 for `stage3`) or by name. Defaults to one map for each
            stride.
        **settings: Arguments of the builder, if `net` is a name.

    Returns:
        A keras.Model from images to {name: map (batch, h/stride, w/stride, channels)}, finest map
        first. Its attributes `channels` and `strides` are tuples of int, in the same order. If
        `net` is a model, its weights are shared, not copied; the attributes are not saved.

    Raises:
        ValueError: If the network has no maps, or lacks one of `stages` (the message lists its
            maps); if `net` is a model and `settings` are given.

    >>> maps = backbone("resnet50", input_shape=(None, None, 3))
    >>> maps.channels, maps.strides
    ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32))
    >>> list(backbone("resnet18", stages=(2, 4)).output)
    ['stage2', 'stage4']
    """
    if isinstance(net, str):
        net = build(net, **{"num_classes": None, **settings})
    elif not isinstance(net, keras.Model):
        raise ValueError(f"backbone takes the name of a network or a keras.Model; received {net!r}")
    elif settings:
        raise ValueError(f"{net.name} is built already: {', '.join(settings)} cannot be set")
    maps = _maps(net)
    if stages is None:
        chosen = [*{stride: name for name, (_, stride) in maps.items()}.values()]
    else:
        wanted = (
            stages if isinstance(stages, Iterable) and not isinstance(stages, str) else [stages]
        )
        chosen = [stage if isinstance(stage, str) else f"stage{stage}" for stage in wanted]
        for name in chosen or [""]:
            pick(f"map of {net.name}", name, maps)
    outputs = {name: maps[name][0] for name in maps if name in chosen}
    model = keras.Model(_input(net), outputs, name=net.name)
    model.channels = tuple(output.shape[-1] for output in outputs.values())
    model.strides = tuple(maps[name][1] for name in outputs)
    return model


def _maps(net):
    """Return {name: (map, stride)} of a network up to its features, finest first."""
    has_features = any(layer.name == "features" for layer in net.layers)
    maps, last = {}, None
    for operation, output, stride in _strides(features(net) if has_features else net):
        if stride and TAP.fullmatch(operation.name):
            maps[operation.name] = output, stride
        last = output, stride
    if _has_class_token(net):  # the tokens are in the order of the map that they were cut from
        tokens, (patches, stride) = _features(net), maps["stem"]
        shape = (*patches.shape[1:3], tokens.shape[-1])
        return {"features": (layers.Reshape(shape, name="features_map")(tokens[:, 1:]), stride)}
    if has_features and last[1] and last[1] not in [stride for _, stride in maps.values()]:
        maps["features"] = last
    if not maps:
        raise ValueError(
            f"{net.name} has no maps: its features are a vector, {_features(net).shape}; "
            "models.features(net) returns them"
        )
    return maps


def _strides(model):
    """Yield (operation, output, pixels of the image from one value of a map to the next).

    The stride is None if the output is not a map, or is a global mean. It cannot be derived from
    receptive fields (`models.cost`): after squeeze-excite a value depends on the whole image.
    """
    strides = {}
    for operation, inputs, outputs in operations(model):
        known = [strides[id(tensor)] for tensor in inputs if strides[id(tensor)]]
        stride = max(known, default=1 if isinstance(operation, layers.InputLayer) else None)
        if len(outputs[0].shape) != 4 or isinstance(operation, SEES_ALL):
            stride = None
        elif stride:
            stride *= max(getattr(operation, "strides", (1,)))
        strides |= dict.fromkeys(map(id, outputs), stride)
        yield operation, outputs[0], stride


def _features(net):
    try:
        return net.get_layer("features").output
    except ValueError as error:
        names = [layer.name for layer in net.layers]
        last = ", ".join(names[-5:])
        raise ValueError(
            f"{net.name} has no layer 'features'; its last layers are {last}: "
            "keras.Model(net.input, net.get_layer(NAME).output) ends at one of them"
        ) from error


def _input(net):
    """Return the input of a network; a Sequential has no attribute `input` until it is called."""
    return net.inputs[0] if len(net.inputs) == 1 else net.input


def _has_class_token(net):
    return any(isinstance(layer, ClassToken) for layer in net.layers)
