"""The architectures, in the order the course meets them: `build("resnet20", num_classes=10)`."""

import inspect
import sys

from cvcourse.errors import pick, unknown
from cvcourse.models import cifar_resnet, lenet, linear, resnet

FAMILIES = (  # a file each
    linear,
    lenet,
    resnet,
    cifar_resnet,
)
REGISTRY = {name: builder for family in FAMILIES for name, builder in family.VARIANTS.items()}


def build(architecture, /, *, name=None, **settings):
    """The published network `architecture`; `settings` override its builder's arguments.

    Returns an uncompiled keras.Model, (batch, h, w, c) -> logits (batch, num_classes). Every
    builder takes `input_shape`, `num_classes` and knobs of its own (see `knobs`). Raises
    ValueError for an unknown architecture or knob, and for images smaller than the net can take.

    >>> build("resnet20", input_shape=(28, 28, 1), num_classes=10).output_shape
    (None, 10)
    """
    defaults = knobs(architecture)
    for setting, value in settings.items():
        if setting not in defaults:
            raise ValueError(f"{architecture}: {unknown('knob', setting, defaults)}")
        if isinstance(defaults[setting], tuple) and not isinstance(value, (tuple, list)):
            raise ValueError(
                f"{architecture}: {setting} takes several values, such as "
                f"{defaults[setting]}; received {value!r}"
            )
    input_shape = tuple(settings.get("input_shape", defaults["input_shape"]))
    if len(input_shape) != 3:
        raise ValueError(f"input_shape is (height, width, channels); received {input_shape}")
    minimum = _minimum_size(architecture)
    if any(side is not None and side < minimum for side in input_shape[:2]):
        raise ValueError(
            f"{architecture} takes images of {minimum}x{minimum} pixels or more; received "
            f"input_shape={input_shape}: resize them, or choose another net"
        )
    return REGISTRY[architecture](name=name or architecture, **settings)


def knobs(architecture):
    """The arguments of a net's builder and their defaults, its own ones first.

    >>> knobs("resnet20")["shortcut"]
    'A'
    """
    parameters = inspect.signature(pick("model", architecture, REGISTRY)).parameters
    return {key: value.default for key, value in parameters.items() if key != "name"}


def input_shape_for(architecture, image_shape):
    """The input shape for images of `image_shape`: theirs, or the net's usual size if too small.

    >>> input_shape_for("resnet20", (28, 28, 1)), input_shape_for("lenet5", (8, 8, 1))
    ((28, 28, 1), (32, 32, 1))
    """
    usual = knobs(architecture)["input_shape"]
    too_small = min(image_shape[:2]) < _minimum_size(architecture)
    return (*(usual if too_small else image_shape)[:2], image_shape[-1])


def _minimum_size(architecture):
    builder = REGISTRY[architecture]
    return sys.modules[getattr(builder, "func", builder).__module__].MINIMUM_SIZE
