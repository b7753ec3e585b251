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
    takes `input_shape` and, but for multi_head_attention, `num_classes`; `builder_args` lists its
    own. Raises ValueError for an unknown architecture or knob, and for an image_data_format or
    floatx of the process that would make another net of it.

    >>> build("lstm", vocabulary=65, num_classes=65).output_shape
    (None, None, 65)
    """
    require_supported_settings()
    defaults = builder_args(architecture)
    for setting in settings:
        if setting not in defaults:
            raise ValueError(f"{architecture}: {unknown('knob', setting, defaults)}")
    return REGISTRY[architecture](name=name or architecture, **settings)


def settings_of(architecture, config, *fields, **given):
    """Collect a builder's arguments from a config's fields, as far as the net has such knobs.

    Args:
        architecture: Key of `REGISTRY`.
        config: Object with the fields. Its `units` are the channels of a Transformer, whose MLPs
            are four times as wide (Vaswani et al. 2017, section 3.3).
        *fields: Names of fields.
        **given: Arguments, of which those that the net lacks are left out, too.

    Returns:
        A dict for `build`.
    """
    wide = {"units": config.units, "dim": config.units, "mlp": 4 * config.units}
    values = wide | {name: getattr(config, name) for name in fields} | given
    return {name: value for name, value in values.items() if name in builder_args(architecture)}


def builder_args(architecture):
    """The arguments of a net's builder and their defaults, its own ones first.

    >>> builder_args("gru")["units"]
    128
    """
    parameters = inspect.signature(pick("sequence net", architecture, REGISTRY)).parameters
    return {key: value.default for key, value in parameters.items() if key != "name"}
