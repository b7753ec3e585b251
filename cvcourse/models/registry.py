"""The architectures, in the order the course meets them: `build("resnet20", num_classes=10)`.

`build("nets/net.py:tiny", …)` calls a builder of one's own: `cvcourse.models.own_builder`.
"""

import inspect
import numbers
import pathlib

from cvcourse import source_file
from cvcourse.errors import pick, unknown
from cvcourse.models import (
    alexnet,
    cifar_resnet,
    convnext,
    densenet,
    efficientnet,
    fractalnet,
    googlenet,
    inception,
    lenet,
    linear,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    nin,
    own_builder,
    preact_resnet,
    resnet,
    resnext,
    senet,
    shufflenet,
    shufflenet_v2,
    squeezenet,
    vgg,
    vit,
    wide_resnet,
    zfnet,
)
from cvcourse.settings import require_supported_settings

FAMILIES = (  # a file each
    linear,
    lenet,
    alexnet,
    zfnet,
    vgg,
    nin,
    googlenet,
    inception,
    resnet,
    cifar_resnet,
    preact_resnet,
    wide_resnet,
    resnext,
    fractalnet,
    densenet,
    senet,
    squeezenet,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    shufflenet,
    shufflenet_v2,
    nasnet,
    efficientnet,
    convnext,
    vit,
)
REGISTRY = {name: builder for family in FAMILIES for name, builder in family.VARIANTS.items()}


def build(architecture, /, *, name=None, **settings):
    """The published network `architecture`; `settings` override its builder's arguments.

    FILE.py:FUNCTION is the network of a builder of one's own (`cvcourse.models.own_builder`), named
    by its function.

    Returns an uncompiled keras.Model, (batch, h, w, c) -> logits (batch, num_classes). Every
    builder takes `input_shape`, `num_classes` and knobs of its own (see `builder_args`). Raises
    ValueError for an unknown architecture or knob, for images smaller than the net can take, for an
    open size (None) where it takes one alone, and for an image_data_format or floatx of the process
    that would make another net of it.

    >>> build("resnet20", input_shape=(28, 28, 1), num_classes=10).output_shape
    (None, 10)
    """
    require_supported_settings()
    defaults = builder_args(architecture)
    for setting, value in settings.items():
        if setting not in defaults:
            raise ValueError(f"{architecture}: {unknown('knob', setting, defaults)}")
        if isinstance(defaults[setting], tuple) and not isinstance(value, (tuple, list)):
            raise ValueError(
                f"{architecture}: {setting} takes several values, such as "
                f"{defaults[setting]}; received {value!r}"
            )
    input_shape = settings.get("input_shape", defaults["input_shape"])
    if input_shape is None:
        raise ValueError(f"{architecture} has no usual input_shape: give (height, width, channels)")
    input_shape = tuple(input_shape)
    if len(input_shape) != 3:
        raise ValueError(f"input_shape is (height, width, channels); received {input_shape}")
    *sides, channels = input_shape
    if not isinstance(channels, numbers.Integral) or channels < 1:
        raise ValueError(
            f"input_shape is (height, width, channels), of 1 channel or more; received "
            f"input_shape={input_shape}"
        )
    if None in sides and getattr(_home(architecture), "FIXED_SIZE", False):
        raise ValueError(
            f"{architecture} has dense layers, which take images of one size: a height and a "
            f"width are needed; received input_shape={input_shape}"
        )
    minimum = minimum_size(architecture)
    if any(side is not None and side < minimum for side in sides):
        raise ValueError(
            f"{architecture} takes images of {minimum}x{minimum} pixels or more; received "
            f"input_shape={input_shape}: resize them, or choose another net"
        )
    if own := source_file.split(architecture):
        shapes = {"input_shape": input_shape, "num_classes": defaults["num_classes"]}
        return own_builder.build(architecture, name or own[1], shapes | settings)
    return REGISTRY[architecture](name=name or architecture, **settings)


def builder_args(architecture):
    """The arguments of a net's builder and their defaults, its own ones first.

    >>> builder_args("resnet20")["shortcut"]
    'A'
    """
    if source_file.split(architecture):
        defaults = own_builder.builder_args(architecture)
    elif str(architecture).endswith(".py"):
        raise ValueError(f"{architecture}: name the builder in it, as {architecture}:FUNCTION")
    else:
        parameters = inspect.signature(pick("model", architecture, REGISTRY)).parameters
        defaults = {key: value.default for key, value in parameters.items()}
    return {key: default for key, default in defaults.items() if key != "name"}


def input_shape_for(architecture, image_shape):
    """The input shape for images of `image_shape`: theirs, or the net's usual size if too small.

    >>> input_shape_for("resnet20", (28, 28, 1)), input_shape_for("lenet5", (8, 8, 1))
    ((28, 28, 1), (32, 32, 1))
    """
    usual = builder_args(architecture)["input_shape"]
    too_small = min(image_shape[:2]) < minimum_size(architecture)
    return (*(usual if too_small else image_shape)[:2], image_shape[-1])


def family(architecture):
    """The name of the file that a net is built in: its family, or that of a builder of one's own.

    >>> family("resnet50")
    'resnet'
    """
    if own := source_file.split(architecture):
        return pathlib.Path(own[0]).stem
    return _home(architecture).__name__.split(".")[-1]


def minimum_size(architecture):
    """The smallest side, in pixels, of the images that a net takes, as far as is known."""
    size = getattr(_home(architecture), "MINIMUM_SIZE", 1)  # a builder of one's own tells none
    return size[architecture] if isinstance(size, dict) else size


def _home(architecture):
    """The module of a net of the registry; None for a builder of one's own."""
    return next((family for family in FAMILIES if architecture in family.VARIANTS), None)
