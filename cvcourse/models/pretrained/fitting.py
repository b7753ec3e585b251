"""Load published weights into our networks: names of layers and layouts of tensors by source.

PUBLISHED_NAMES in a family's file has, for each source, a table {pattern of our layer's name:
template of the published module's name}. `#token` in a template stands for the rank of `token`
among the tokens that follow the same text, as torch numbers the modules of a Sequential. A pattern
may also match LAYER.VARIABLE; its template is then the whole name of the tensor.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from cvcourse.errors import unknown
from cvcourse.layers.graph import operations
from cvcourse.models.pretrained import misfit
from cvcourse.models.pretrained.misfit import TABLES
from cvcourse.models.registry import FAMILIES, build
from cvcourse.state_dict import (
    foreign_prefix,
    refuse,
    require_finite,
    strip_prefix,
    tell_prefix,
    to_arrays,
)

# "SOURCE.NAME": (our architecture, its settings there)
SOURCES = {
    name: form for family in FAMILIES for name, form in getattr(family, "SOURCES", {}).items()
}

LEAVES = {  # our variable: torch's
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
AUXILIARY = re.compile(r"(aux\d|AuxLogits)\.")  # torchvision's GoogLeNet and Inception-v3
# Layers of preprocessing, whose weights are not published
APART = (layers.Rescaling, layers.Normalization, layers.Resizing)


def load_state_dict(model: keras.Model, tensors: Mapping[str, Any]) -> keras.Model:
    """Load a state_dict of a published implementation into one of our networks.

    A prefix that wrappers put before every name (`cvcourse.state_dict.PREFIXES`) is removed, which
    is reported in a line on stderr. Tensors of auxiliary heads are ignored if the model has none.

    Args:
        model: keras.Model with the layers of one of our networks; layers of preprocessing do not
            change.
        tensors: {torchvision's or timm's name: array or torch tensor in torch's layout}, in any
            order; num_batches_tracked is ignored. bfloat16 and half precision are converted.

    Returns:
        The model.

    Raises:
        ValueError: If tensors are missing, extra, misshaped, NaN or infinite. The message has the
            likeliest cause and the first names of each kind; the model does not change.

    >>> net = build_source("torchvision.squeezenet1_1")
    >>> load_state_dict(net, {"classifier.1.bias": np.zeros(1000)})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: these weights are not those of squeezenet1_1: ... missing: classifier.1.weight, ...
    """
    variables = _variables(model)
    reading = recognize(model, to_arrays(tensors))
    wanted = {reading.names.get(key, f"{key} (ours)"): pair for key, pair in variables.items()}
    tensors = reading.tensors
    if not any(map(AUXILIARY.match, wanted)):
        tensors = {key: value for key, value in tensors.items() if not AUXILIARY.match(key)}
    values, misshaped = {}, {}
    for name in wanted.keys() & tensors.keys():
        layer, variable = wanted[name]
        values[name] = _to_keras(layer, variable, tensors[name])
        if values[name] is None:
            misshaped[name] = (layer.name, tensors[name].shape, tuple(variable.shape))
    refuse(
        model.name,
        misfit.cause(tensors, wanted, misshaped, classifiers(model)),
        missing=wanted.keys() - tensors.keys(),
        extra=tensors.keys() - wanted.keys(),
        misshaped=[f"{name} {given} for {ours}" for name, (_, given, ours) in misshaped.items()],
    )
    require_finite(model.name, values)
    tell_prefix(model.name, reading.prefix)
    for name, value in values.items():
        wanted[name][1].assign(value)
    return model


def load_keras(target: keras.Model, source: keras.Model) -> keras.Model:
    """Copy the weights of a Keras model into another; either may be one of our networks.

    Layers with weights are paired in the order in which the outputs need them, so both models must
    add and concatenate in the same order. Layers of preprocessing are skipped; a 1x1 convolution
    and a dense layer are equivalent.

    Args:
        target: keras.Model to fill.
        source: keras.Model to copy from.

    Returns:
        The target.

    Raises:
        ValueError: If layers cannot be paired, or weights are NaN or infinite. The message has the
            first names of each kind; the target does not change.

    >>> source = keras.applications.MobileNet(alpha=0.25, weights=None)
    >>> net = load_keras(build_source("keras.mobilenet", width=0.25), source)
    >>> pixels = np.ones((1, 224, 224, 3), "float32")
    >>> probabilities = keras.ops.softmax(net(pixels))
    >>> bool(np.allclose(probabilities, source(pixels), atol=1e-6))
    True
    """
    given, ours = weighted_layers(source), weighted_layers(target)
    forms = [[_forms(layer) for layer in side] for side in (given, ours)]
    missing: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    misshaped: dict[str, str] = {}
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(
        None, forms[0], forms[1], False
    ).get_opcodes():
        if tag == "replace" and i_end - i == j_end - j:
            for a, b in zip(given[i:i_end], ours[j:j_end], strict=True):
                misshaped[f"{a.name} {_shapes(a)} for {b.name} {_shapes(b)}"] = b.name
        elif tag != "equal":
            extra |= {layer.name: layer for layer in given[i:i_end]}
            missing |= {layer.name: layer for layer in ours[j:j_end]}
    cause = ""
    if not missing and not extra and {*misshaped.values()} <= classifiers(target):
        cause = misfit.OTHER_CLASSES
    elif len(extra) + len(misshaped) > len(given) / 2:
        cause = misfit.OTHER_NETWORK
    elif missing or extra:
        cause = misfit.OTHER_DEPTH
    refuse(target.name, cause, missing=missing, extra=extra, misshaped=misshaped)
    values = [layer.get_weights() for layer in given]
    named = {
        f"{layer.name}.{weight.name}": value
        for layer, row in zip(given, values, strict=True)
        for weight, value in zip(layer.weights, row, strict=True)
    }
    require_finite(target.name, named)
    for row, layer in zip(values, ours, strict=True):
        pairs = zip(row, layer.weights, strict=True)
        layer.set_weights([value.reshape(weight.shape) for value, weight in pairs])
    return target


def build_source(source: str, /, **settings: Any) -> keras.Model:
    """Build our network in the form of a source, without its weights.

    Args:
        source: SOURCE.NAME, a key of `SOURCES`: "torchvision.googlenet", "timm.resnetv2_50",
            "keras.resnet50". Underscores and capitals are ignored.
        **settings: Arguments of the builder, as in `models.build`.

    Returns:
        An uncompiled keras.Model from preprocessed pixels to logits, with the padding, epsilon and
        other details of the source.

    Raises:
        ValueError: If the source's network or an argument is unknown.

    >>> build_source("keras.mobilenet", width=0.25).name
    'mobilenet'
    """
    forms = {plain(name): form for name, form in SOURCES.items()}
    if plain(source) not in forms:
        raise ValueError(unknown("published network", source, SOURCES))
    architecture, form = forms[plain(source)]
    return build(architecture, **{**form, **settings})


@dataclasses.dataclass(frozen=True)
class Reading:
    """Tensors of a state_dict, and the meaning of their names."""

    tensors: dict  # {published name: array}, without the prefix
    prefix: str  # that was removed from each name
    sources: list  # that use these names; empty if most names are unknown
    names: dict  # {our LAYER.LEAF: published name}


def recognize(model, tensors):
    """Find the source whose names a state_dict has, as a `Reading`; `model` is the net to fill."""
    readings = [(sources, _read(model, table)) for _, sources, table in TABLES]
    known = [{*names.values()} for _, names in readings]
    tensors, prefix = strip_prefix(
        tensors, lambda tensors: max(len(tensors.keys() & names) for names in known)
    )
    if not (seen := tensors.keys() & set().union(*known)):  # perhaps after an unknown prefix
        foreign = foreign_prefix(tensors, set().union(*known))
        seen = {name.removeprefix(foreign) for name in tensors}
    counts = [(len(seen & names), len(names)) for names in known]
    sources, names = readings[counts.index(max(counts))]
    enough = min(len(tensors), max(map(len, known))) / 2
    fits = len(tensors.keys() & {*names.values()}) >= enough
    return Reading(tensors, prefix, sources if fits else [], names)


def classifiers(net):
    """Return the names of the layers with one output per class: logits, and auxiliary ones."""
    names = [layer.name for layer in weighted_layers(net)]
    return {name for name in names if "logits" in name} or {*names[-1:]}


def plain(name):
    """Simplify the name of a network for comparison: no underscores, no capitals."""
    return name.replace("_", "").lower()


def _read(model, table):
    """Apply a table of PUBLISHED_NAMES to a model: {our LAYER.LEAF: published name}."""
    patterns = [(re.compile(pattern), template) for pattern, template in table.items()]
    ranks, names = {}, {}

    def published(text):
        for pattern, template in patterns:
            if match := pattern.fullmatch(text):
                return numbered(match.expand(template))
        return None

    def numbered(name):
        done = ""
        for part in name.split("."):
            head, marked, token = part.partition("#")
            done += "." * bool(done) + head
            if marked:
                siblings = ranks.setdefault(done, [])
                if token not in siblings:
                    siblings.append(token)
                done += str(siblings.index(token))
        return done

    for layer in model.layers:  # layers without weights count in a Sequential, too
        module = published(layer.name)
        for variable in layer.weights:
            leaf = LEAVES.get(variable.name, variable.name)
            name = module and f"{module}.{leaf}"
            if name := name or published(f"{layer.name}.{leaf}"):
                names[f"{layer.name}.{leaf}"] = name
    return names


def _variables(model):
    """Return {LAYER.LEAF: (layer, variable)} of a model's weights, without preprocessing."""
    return {
        f"{layer.name}.{LEAVES.get(variable.name, variable.name)}": (layer, variable)
        for layer in weighted_layers(model)
        for variable in layer.weights
    }


def weighted_layers(model):
    """List layers with weights in the order of computation, also those in nested models."""
    found = []
    for layer, *_ in operations(model):
        if isinstance(layer, keras.Model):
            found += weighted_layers(layer)
        elif getattr(layer, "weights", ()) and not isinstance(layer, APART):
            found.append(layer)
    return found


def _to_keras(layer, variable, tensor):
    """Convert a tensor to the layout of `variable`; None if the shapes do not match."""
    value = tensor
    depthwise = isinstance(layer, layers.DepthwiseConv2D) or variable.name == "depthwise_kernel"
    if depthwise and tensor.ndim == 4 and tensor.shape[1] == 1:
        value = np.moveaxis(tensor[:, 0], 0, -1)  # channels * multiplier, which reshape separates
        if value.size == math.prod(variable.shape):
            value = value.reshape(*value.shape[:2], *variable.shape[2:])
    elif variable.name in ("kernel", "pointwise_kernel") and tensor.ndim == 4:
        value = np.transpose(tensor, (2, 3, 1, 0))
    elif variable.name == "kernel" and tensor.ndim == 2:
        value = tensor.T
        size = _flattened(layer)
        if size and math.prod(size) == len(value):  # torch flattens (c, h, w)
            value = np.moveaxis(value.reshape(size[-1], *size[:-1], -1), 0, 2)
    if isinstance(layer, layers.Dense) and value.ndim == 4:
        value = value.reshape(-1, value.shape[-1])
    same = _squeezed(value.shape) == _squeezed(variable.shape)
    return value.reshape(variable.shape) if same else None


def _flattened(layer):
    """Return (h, w, c) of the map that is flattened before a dense layer; () if there is none."""
    operation = layer
    while operation is layer or isinstance(operation, layers.Dropout):
        operation = operation.input._keras_history.operation
    return operation.input.shape[1:] if isinstance(operation, layers.Flatten) else ()


def _squeezed(shape):
    """Remove the ones from a shape: a 1x1 convolution and a dense layer then have equal shapes."""
    return tuple(side for side in shape if side != 1)


def _shapes(layer):
    return [tuple(weight.shape) for weight in layer.weights]


def _forms(layer):
    return tuple(map(_squeezed, _shapes(layer)))
