"""Sequence nets by name: `build("lstm", vocabulary=65, num_classes=65)`."""

import inspect
import types
from collections.abc import Mapping
from typing import Any

import keras

from cvcourse.deprecation import renamed_arguments
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
RENAMED = {  # builder arguments: {name in the previous version: name}
    "heads": "num_heads",
    "dim": "hidden_dim",
    "mlp": "mlp_dim",
    "length": "max_length",
    "sequences": "return_sequences",
}


@keras.saving.register_keras_serializable("cvcourse")
class SequenceModel(keras.Model):
    """A functional model that records which net of `REGISTRY` it is, also in its .keras file.

    A copy made by `type(model).from_config(model.get_config())` also has the record. One made by
    `keras.models.clone_model`, which passes only inputs, outputs and name, has none.

    Attributes:
        architecture: Key of `REGISTRY`; None for an unknown one.
        settings: All arguments of its builder, {name: value}, read-only.
    """

    architecture: str | None = None
    settings: Mapping[str, Any] = types.MappingProxyType({})

    # No __init__: otherwise Keras does not treat the class as a functional model.
    def recording(self, architecture: str | None, settings: Mapping[str, Any]) -> "SequenceModel":
        """Record the net's architecture and settings, and return the model."""
        self.architecture = architecture
        # Keras would track a dict as if it contained layers.
        self.settings = types.MappingProxyType(dict(settings))
        return self

    def get_config(self):
        settings = keras.saving.serialize_keras_object(dict(self.settings))
        return {**super().get_config(), "architecture": self.architecture, "settings": settings}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        architecture, settings = config.pop("architecture"), config.pop("settings")
        revive = keras.saving.deserialize_keras_object
        settings = {  # JSON turns tuples into lists
            name: tuple(value)
            if isinstance(value, (list, tuple))
            else revive(value, custom_objects)
            for name, value in settings.items()
        }
        return super().from_config(config, custom_objects).recording(architecture, settings)


def build(architecture: str, /, *, name: str | None = None, **settings: Any) -> keras.Model:
    """Build a sequence net.

    The net records `architecture` and its settings, as attributes and in its .keras file:
    `Generator(net)` needs nothing else.

    Args:
        architecture: Key of `REGISTRY`.
        name: Name of the model. Defaults to `architecture`.
        **settings: Arguments of its builder; `builder_args` lists them and their defaults. Every
            builder takes `input_shape` and, except for multi_head_attention, `num_classes`.

    Returns:
        An uncompiled keras.Model; the builder's docstring describes its inputs and outputs.

    Raises:
        ValueError: If the architecture or an argument is unknown, or if Keras' image_data_format or
            floatx would change the net.

    >>> build("lstm", vocabulary=65, num_classes=65).output_shape
    (None, None, 65)
    """
    require_supported_settings()
    settings = renamed_arguments(f'sequence.build("{architecture}")', settings, RENAMED)
    defaults = builder_args(architecture)
    for setting in settings:
        if setting not in defaults:
            raise ValueError(f"{architecture}: {unknown('builder argument', setting, defaults)}")
    net = REGISTRY[architecture](name=name or architecture, **settings)
    settings = {**defaults, **settings}
    if settings.pop("part", "whole") != "whole":
        return net
    model = SequenceModel(net.input, net.output, name=net.name)
    return model.recording(architecture, settings)


def settings_of(architecture, config, *fields, **given):
    """Collect a builder's arguments from a config's fields, as far as the net takes them.

    Args:
        architecture: Key of `REGISTRY`.
        config: Object with the fields. Its `units` are the channels of a Transformer, whose MLPs
            are four times as wide (Vaswani et al. 2017, section 3.3).
        *fields: Names of fields.
        **given: Further arguments; those that the net does not take are also left out.

    Returns:
        A dict for `build`.
    """
    values = {"units": config.units, "hidden_dim": config.units, "mlp_dim": 4 * config.units}
    values["num_heads"] = config.num_heads
    values |= {name: getattr(config, name) for name in fields} | given
    return {name: value for name, value in values.items() if name in builder_args(architecture)}


def builder_args(architecture: str) -> dict[str, Any]:
    """List the arguments of a net's builder, its own ones first.

    Args:
        architecture: Key of `REGISTRY`.

    Returns:
        {argument: default}.

    Raises:
        ValueError: If the architecture is unknown.

    >>> builder_args("gru")["units"]
    128
    """
    parameters = inspect.signature(pick("sequence net", architecture, REGISTRY)).parameters
    return {key: value.default for key, value in parameters.items() if key != "name"}
