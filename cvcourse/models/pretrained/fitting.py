"""Published weights into our networks: what a source calls a layer, and how it lays out a tensor.

A family's file says in PUBLISHED_NAMES what its layers are called elsewhere: under the sources it
holds for, a table of a pattern for our layer's name and a template for the published module.
`#token` in a template stands for the rank of `token` among those after the same text, as torch
numbers the modules of a Sequential. A pattern may match LAYER.VARIABLE as well, and its template is
the tensor's whole name then.
"""

import difflib
import math
import re

import keras
import numpy as np
from keras import layers

from cvcourse.errors import unknown
from cvcourse.models.graph import operations
from cvcourse.models.registry import FAMILIES, build

TABLES = [
    (re.findall(r"\w+", sources), table)
    for family in FAMILIES
    for sources, table in getattr(family, "PUBLISHED_NAMES", {}).items()
]
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
# Layers whose weights are no part of what is published
APART = (layers.Rescaling, layers.Normalization, layers.Resizing)


def load_state_dict(model, tensors):
    """Fill `model` from {published name: array in torch's layout}; returns the model.

    The names are torchvision's or timm's, in any order; num_batches_tracked is ignored. Raises
    ValueError naming every missing, extra and misshaped tensor, and changes nothing then.
    """
    tensors = {
        name: np.asarray(value)
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    variables = _variables(model)
    _, names = naming(model, tensors)
    wanted = {names.get(key, f"{key} (ours)"): variable for key, variable in variables.items()}
    values, misshaped = [], []
    for name in wanted.keys() & tensors.keys():
        layer, variable = wanted[name]
        value = _to_keras(layer, variable, tensors[name])
        values.append((variable, value))
        if value.shape != tuple(variable.shape):
            misshaped.append(f"{name} {tensors[name].shape} for {tuple(variable.shape)}")
    _refuse(
        model.name,
        missing=wanted.keys() - tensors.keys(),
        extra=tensors.keys() - wanted.keys(),
        misshaped=misshaped,
    )
    for variable, value in values:
        variable.assign(value)
    return model


def load_keras(target, source):
    """Copy the weights of the Keras model `source` into `target`, one of ours or the reverse.

    Layers with weights are paired in the order in which the outputs need them, so both must add
    and concatenate in the same order; preprocessing layers are skipped; a 1x1 convolution and a
    dense layer are the same thing. Returns the target. Raises ValueError naming the layers that
    do not pair, and changes nothing then.
    """
    theirs, ours = weighted_layers(source), weighted_layers(target)
    forms = [[_forms(layer) for layer in side] for side in (theirs, ours)]
    problems = {"missing": [], "extra": [], "misshaped": []}
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, *forms, False).get_opcodes():
        if tag == "replace" and i_end - i == j_end - j:
            problems["misshaped"] += [
                f"{a.name} {_shapes(a)} for {b.name} {_shapes(b)}"
                for a, b in zip(theirs[i:i_end], ours[j:j_end], strict=True)
            ]
        elif tag != "equal":
            problems["extra"] += [layer.name for layer in theirs[i:i_end]]
            problems["missing"] += [layer.name for layer in ours[j:j_end]]
    _refuse(target.name, **problems)
    for a, b in zip(theirs, ours, strict=True):
        values = zip(a.get_weights(), b.weights, strict=True)
        b.set_weights([value.reshape(weight.shape) for value, weight in values])
    return target


def build_source(source, /, **settings):
    """Our network in the form that a source's names and weights have: "torchvision.googlenet",
    "timm.resnetv2_50", "keras.resnet50"; `settings` as for `build`.

    Raises ValueError for a source or a name that is not known; underscores are not heeded.
    """
    forms = {plain(name): form for name, form in SOURCES.items()}
    if plain(source) not in forms:
        raise ValueError(unknown("published network", source, SOURCES))
    architecture, form = forms[plain(source)]
    return build(architecture, **{**form, **settings})


def naming(model, tensors):
    """Whose names `tensors` bear: the sources, and {our LAYER.LEAF: their name}."""
    readings = [(sources, _read(model, table)) for sources, table in TABLES]
    return max(readings, key=lambda reading: len(tensors.keys() & {*reading[1].values()}))


def plain(name):
    """A network's name as it is compared: underscores and capitals are not heeded."""
    return name.replace("_", "").lower()


def _read(model, table):
    """{our LAYER.LEAF: published name} of what a table of PUBLISHED_NAMES knows of the model."""
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

    for layer in model.layers:  # those without weights count in a Sequential, too
        module = published(layer.name)
        for variable in layer.weights:
            leaf = LEAVES.get(variable.name, variable.name)
            name = module and f"{module}.{leaf}"
            if name := name or published(f"{layer.name}.{leaf}"):
                names[f"{layer.name}.{leaf}"] = name
    return names


def _variables(model):
    """{LAYER.LEAF: (layer, variable)} of the model's weights, preprocessing apart."""
    return {
        f"{layer.name}.{LEAVES.get(variable.name, variable.name)}": (layer, variable)
        for layer in weighted_layers(model)
        for variable in layer.weights
    }


def weighted_layers(model):
    """The layers with weights, in the order of the mathematics; nested models opened."""
    found = []
    for layer, *_ in operations(model):
        if isinstance(layer, keras.Model):
            found += weighted_layers(layer)
        elif getattr(layer, "weights", ()) and not isinstance(layer, APART):
            found.append(layer)
    return found


def _to_keras(layer, variable, tensor):
    """A tensor in the layout of `variable`; as it is where it cannot have that."""
    value = tensor
    depthwise = isinstance(layer, layers.DepthwiseConv2D) or variable.name == "depthwise_kernel"
    if depthwise and tensor.ndim == 4 and tensor.shape[1] == 1:
        value = np.moveaxis(tensor[:, 0], 0, -1)  # channels * multiplier, which reshape parts
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
    return value.reshape(variable.shape) if same else tensor


def _flattened(layer):
    """The (h, w, c) of the map whose values, flattened, a dense layer sees; () for none."""
    operation = layer
    while operation is layer or isinstance(operation, layers.Dropout):
        operation = operation.input._keras_history.operation
    return operation.input.shape[1:] if isinstance(operation, layers.Flatten) else ()


def _squeezed(shape):
    """A shape without its ones: that of a 1x1 convolution and of a dense layer are alike."""
    return tuple(side for side in shape if side != 1)


def _shapes(layer):
    return [tuple(weight.shape) for weight in layer.weights]


def _forms(layer):
    return tuple(map(_squeezed, _shapes(layer)))


def _refuse(name, **problems):
    """Raise ValueError for the kinds of problem that list something."""
    found = [f"{kind}: {', '.join(sorted(names))}" for kind, names in problems.items() if names]
    if found:
        raise ValueError(f"these weights are not those of {name}; {'; '.join(found)}")
