"""The sequence nets by name: `build("lstm", vocabulary=65, num_classes=65)`."""

import inspect

from cvcourse.errors import pick, unknown
from cvcourse.sequence import (
    attention,
    captioning,
    encoder_decoder,
    patch_classifier,
    recurrent,
    transformer,
)
from cvcourse.settings import require_supported_settings

FAMILIES = (recurrent, encoder_decoder, attention, transformer, patch_classifier, captioning)
REGISTRY = {name: builder for family in FAMILIES for name, builder in family.VARIANTS.items()}


def build(architecture, /, *, name=None, **settings):
    """The sequence net `architecture`; `settings` override its builder's arguments.

    Returns an uncompiled keras.Model; each builder's docstring says from what to what. Every one
    takes `input_shape` and, but for multi_head_attention, `num_classes`; see `knobs` for its own.
    Raises ValueError for an unknown architecture or knob, and for an image_data_format or floatx of
    the process that would make another net of it.

    >>> build("lstm", vocabulary=65, num_classes=65).output_shape
    (None, None, 65)
    """
    require_supported_settings()
    defaults = knobs(architecture)
    for setting in settings:
        if setting not in defaults:
            raise ValueError(f"{architecture}: {unknown('knob', setting, defaults)}")
    return REGISTRY[architecture](name=name or architecture, **settings)


def knobs(architecture):
    """The arguments of a net's builder and their defaults, its own ones first.

    >>> knobs("gru")["units"]
    128
    """
    parameters = inspect.signature(pick("sequence net", architecture, REGISTRY)).parameters
    return {key: value.default for key, value in parameters.items() if key != "name"}
