"""The architectures in course order: `build("resnet20", num_classes=10)`.

`build("nets/net.py:tiny", …)` calls a builder in a user's file: `cvcourse.models.own_builder`.
"""

import inspect
import numbers
import pathlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import keras

from cvcourse import source_file
from cvcourse.deprecation import renamed_arguments
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

FAMILIES: tuple[ModuleType, ...] = (  # one file each
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
REGISTRY: dict[str, Callable[..., keras.Model]] = {
    name: builder for family in FAMILIES for name, builder in family.VARIANTS.items()
}
RENAMED = {  # builder arguments: {name in the previous version: name}
    "growth": "growth_rate",
    "dim": "hidden_dim",
    "heads": "num_heads",
    "mlp": "mlp_dim",
}
KERAS = {  # arguments of keras.applications: what to write instead
    "include_top": "num_classes=None ends the net at its features",
    "weights": 'models.pretrained.load("{name}") loads published weights; build gives random ones',
    "classes": "write num_classes={value!r}",
    "pooling": "models.features(net, pooling={value!r}) pools the features of a built net",
    "alpha": "write width={value!r}",
    "input_tensor": "give input_shape=(height, width, channels) and call the net: net(tensor)",
    "classifier_activation": "nets end in logits: keras.ops.softmax(net(images)) is their softmax",
    "include_rescaling": "models.with_preprocessing(net, …) puts preprocessing before the net",
    "include_preprocessing": "models.with_preprocessing(net, …) puts preprocessing before the net",
}
BACKBONE = 'models.backbone("{name}", stages=…) gives feature maps'
TIMM = {  # arguments of timm, and pretrained also of torchvision
    "pretrained": 'models.pretrained.load("{name}") gives published weights',
    "in_chans": "write input_shape=(height, width, {value!r})",
    "drop_rate": "write dropout={value!r}",
    "drop_path_rate": 'write **models.stochastic_depth("{name}", {value!r})',
    "global_pool": "models.features(net, pooling=…) pools the features of a built net",
    "features_only": BACKBONE,
    "out_indices": BACKBONE,
}
NEEDED = {  # of these: one of the arguments that the builder must have
    "alpha": {"width"},
    "drop_rate": {"dropout"},
    "drop_path_rate": {"survival", "drop_path"},
}


def build(architecture: str, /, *, name: str | None = None, **settings: Any) -> keras.Model:
    """Build a network of the course, or of a user's file.

    Args:
        architecture: Key of `REGISTRY`, or FILE.py:FUNCTION (`cvcourse.models.own_builder`).
        name: Name of the model. Defaults to `architecture`, or to FUNCTION.
        **settings: Arguments of the builder, as `builder_args` lists them. Every builder takes
            `input_shape`, (height, width, channels), and `num_classes`, the number of classes;
            None ends the net at its layer `features`.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes), or a dict of
        logits with `aux=True`; for `num_classes=None`, -> the features.

    Raises:
        ValueError: For an unknown architecture or argument, for images too small for the net, for
            an open size (None) if the net needs a fixed one, and if Keras' image_data_format or
            floatx would change the net.

    >>> build("resnet20", input_shape=(28, 28, 1), num_classes=10).output_shape
    (None, 10)
    >>> build("resnet20", num_classes=None).output_shape
    (None, 8, 8, 64)
    """
    require_supported_settings()
    defaults = builder_args(architecture)
    own = source_file.split(architecture)
    settings = known_arguments(architecture, settings)
    for setting, value in settings.items():
        if type(value).__module__ == "numpy":  # a number or an array
            settings[setting] = value = value.tolist()
        if isinstance(defaults[setting], tuple) and not isinstance(value, (tuple, list)):
            raise ValueError(
                f"{architecture}: {setting} takes several values, such as "
                f"{defaults[setting]}; received {value!r}"
            )
    num_classes = settings.get("num_classes", defaults["num_classes"])
    if num_classes is not None and not _is_count(num_classes):
        raise ValueError(
            f"num_classes is 1 or more, or None to end at the features; received {num_classes!r}"
        )
    input_shape = settings.get("input_shape", defaults["input_shape"])
    if input_shape is None:
        raise ValueError(f"{architecture} has no usual input_shape: give (height, width, channels)")
    input_shape = tuple(input_shape)
    if len(input_shape) != 3:
        raise ValueError(f"input_shape is (height, width, channels); received {input_shape}")
    *sides, channels = input_shape
    if not _is_count(channels) or not all(side is None or _is_count(side) for side in sides):
        raise ValueError(
            "input_shape is (height, width, channels), whole numbers of 1 or more, or None for a "
            f"height and a width that are open; received input_shape={input_shape}"
        )
    home = _home(architecture)
    fixed = hasattr(home, "FIXED_SIZE") or (hasattr(home, "FIXED_SIZE_LOGITS") and num_classes)
    if None in sides and fixed:
        raise ValueError(
            f"{architecture} has dense layers, which take images of one size: a height and a "
            f"width are needed; received input_shape={input_shape}"
        )
    minimum = minimum_size(architecture)
    if any(side is not None and side < minimum for side in sides):
        raise ValueError(
            f"{architecture} takes images of {minimum}x{minimum} pixels or more; received "
            f"input_shape={input_shape}: "
            + (
                f"channels come last, as in {(*input_shape[1:], sides[0])}"
                if sides[0] in (1, 3) and channels >= minimum
                else "resize them, or choose another net"
            )
        )
    if own:
        shapes = {"input_shape": input_shape, "num_classes": num_classes}
        return own_builder.build(architecture, name or own[1], settings | shapes)
    return REGISTRY[architecture](name=name or architecture, **settings)


def known_arguments(architecture, settings, instead=()):
    """Replace the old names of a builder's arguments, and refuse those that it does not have.

    Args:
        architecture: Name that `build` takes.
        settings: {argument: value}.
        instead: {argument: what to write instead}, before those of `KERAS` and `TIMM`.

    Returns:
        {argument: value}, a new dict.

    Raises:
        ValueError: For an unknown architecture or argument.
        TypeError: If an argument has a value under both names.
    """
    defaults = builder_args(architecture)
    if not source_file.split(architecture):
        renamed = {old: new for old, new in RENAMED.items() if new in defaults}
        settings = renamed_arguments(architecture, settings, renamed)
    for setting, value in settings.items():
        if setting in defaults:
            continue
        message = _unknown(architecture, setting, value, defaults, instead)
        raise ValueError(f"{architecture}: {message}")
    return dict(settings)


def builder_args(architecture: str) -> dict[str, Any]:
    """Return the arguments of a network's builder and their defaults.

    Args:
        architecture: Name that `build` takes.

    Returns:
        {argument: default}, without `name`; the builder's own arguments come first.

    Raises:
        ValueError: For an unknown architecture, or a file without a builder.

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


def input_shape_for(architecture: str, image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Choose a network's input shape for images of a dataset.

    Args:
        architecture: Name that `build` takes.
        image_shape: (height, width, channels) of the images.

    Returns:
        `image_shape`; if the images are too small, the network's usual size with their channels.

    Raises:
        ValueError: For an unknown architecture, or another number of sides.

    >>> input_shape_for("resnet20", (28, 28, 1)), input_shape_for("lenet5", (8, 8, 1))
    ((28, 28, 1), (32, 32, 1))
    """
    usual = builder_args(architecture)["input_shape"]
    if len(image_shape) != 3:
        raise ValueError(f"image_shape is (height, width, channels); received {image_shape}")
    too_small = min(image_shape[:2]) < minimum_size(architecture)
    height, width = (usual if too_small else image_shape)[:2]
    return height, width, image_shape[-1]


def family(architecture: str) -> str:
    """Return the name of the file that contains a network's builder.

    Args:
        architecture: Name that `build` takes.

    Returns:
        Name of a module of `cvcourse.models`, or of a user's file, without its ending.

    Raises:
        ValueError: For an unknown architecture.

    >>> family("resnet50")
    'resnet'
    """
    if own := source_file.split(architecture):
        return pathlib.Path(own[0]).stem
    pick("model", architecture, REGISTRY)
    return _home(architecture).__name__.split(".")[-1]


def minimum_size(architecture):
    """Return the smallest side, in pixels, of a network's images; 1 for a user's builder."""
    size = getattr(_home(architecture), "MINIMUM_SIZE", 1)
    return size[architecture] if isinstance(size, dict) else size


def _home(architecture):
    """Return the module of a network of the registry; None for a user's builder."""
    return next((family for family in FAMILIES if architecture in family.VARIANTS), None)


def _is_count(value):
    known = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return known and value >= 1


def _unknown(architecture, setting, value, defaults, others):
    """Describe an argument that a builder does not have, and what to write instead."""
    origin = "keras.applications" if setting in KERAS else "timm"
    instead = (KERAS | TIMM | dict(others)).get(setting)
    if not NEEDED.get(setting, {*defaults}) & {*defaults}:
        instead = None
    if setting in ("weights", "pretrained") and architecture not in REGISTRY:
        instead = None
    if not instead:
        return unknown("argument", setting, defaults)
    instead = instead.format(name=architecture, value=value)
    return f"{setting} is an argument of {origin}; instead, {instead}"
