"""Filter pruning: physically smaller layers, by removing the filters with the smallest norms.

Li, Kadav, Durdanovic, Samet & Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017,
https://arxiv.org/abs/1608.08710, section 3. Filters that a sum, a product or a depthwise
convolution ties together are removed together, and with them the weights that read their maps.
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from cvcourse.compression.surgery import replaced, require_graph
from cvcourse.errors import pick, unknown
from cvcourse.layers.graph import Graph, Step, Value, opened

CRITERIA = ("l1", "l2", "random")
NOT_ZERO, PADDED, ZERO = range(3)  # PADDED: zero within a negative border


@dataclasses.dataclass(frozen=True)
class FilterGroup:
    """Filters of layers that are tied: filter i of each is removed with filter i of the others.

    Attributes:
        layers: Names of the layers, as in `cvcourse.layers.graph.Step`.
        filters: Number of filters of each.
        prunable: Whether filters can be removed.
        reason: Why not, or "".
    """

    layers: tuple[str, ...]
    filters: int
    prunable: bool
    reason: str = ""


def prune_filters(
    model: keras.Model, keep: float = 0.5, *, criterion: str = "l1", skip: Sequence[str] = ()
) -> keras.Model:
    """Remove the filters with the smallest norms; the outputs are those of `zero_filters`.

    The channels of inputs, outputs and layer normalizations stay, as do those whose map would not
    be zero without the filter. One line on stderr names the layers that keep all filters.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        keep: Fraction of the filters of each group that stays, in (0, 1]; at least one stays.
        criterion: Importance of a filter, summed over tied filters: "l1", sum of the absolute
            weights (section 3.1); "l2", Euclidean norm; or "random", for comparison.
        skip: Names of layers that keep all filters.

    Returns:
        An uncompiled functional keras.Model with the same names of layers and fewer filters.

    Raises:
        ValueError: For a `keep` outside (0, 1], an unknown criterion or layer, a model without a
            known graph, and if no filter can be removed.

    >>> hidden = keras.layers.Dense(8, activation="relu", name="hidden")
    >>> net = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3, name="logits")])
    >>> prune_filters(net, 0.5).count_params()  # 4 * 4 + 4 + 4 * 3 + 3
    35
    """
    plan = _plan(model, keep, criterion, skip)
    plan.tell("prune_filters")
    return replaced(model, {name: [operation] for name, operation in plan.smaller().items()})


def zero_filters(
    model: keras.Model, keep: float = 0.5, *, criterion: str = "l1", skip: Sequence[str] = ()
) -> keras.Model:
    """Set to zero the filters that `prune_filters` removes, with their biases and norms.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        keep: See `prune_filters`.
        criterion: See `prune_filters`.
        skip: See `prune_filters`.

    Returns:
        An uncompiled functional keras.Model of the same size.

    Raises:
        ValueError: See `prune_filters`.

    >>> hidden = keras.layers.Dense(8, activation="relu", name="hidden")
    >>> net = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3, name="logits")])
    >>> kernel, bias = zero_filters(net, 0.25).get_layer("hidden").get_weights()
    >>> int((abs(kernel).sum(axis=0) > 0).sum())
    2
    """
    plan = _plan(model, keep, criterion, skip)
    plan.tell("zero_filters")
    copy = replaced(model)
    layers = {step.name: step.operation for step in opened(copy).steps}
    for step in plan.changed():
        layer = layers[step.name]
        if getattr(layer, "weights", ()):
            values = [np.array(keras.ops.convert_to_numpy(weight)) for weight in layer.weights]
            dead = ~plan.kept(step.outputs[0])
            for weight, value in zip(layer.weights, values, strict=True):
                _zero(layer, weight.name, value, dead)
            layer.set_weights(values)
    return copy


def filter_groups(model: keras.Model, *, skip: Sequence[str] = ()) -> list[FilterGroup]:
    """List which layers are tied together, and whether their filters can be removed.

    Args:
        model: Functional or Sequential keras.Model.
        skip: See `prune_filters`.

    Returns:
        Groups in the order of the graph. A layer is in several groups if only some of its filters
        are tied to others, as with a shortcut that pads channels.

    Raises:
        ValueError: For a model without a known graph, or an unknown layer.

    >>> hidden = keras.layers.Dense(8, activation="relu", name="hidden")
    >>> net = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3, name="logits")])
    >>> for group in filter_groups(net):
    ...     print(group.layers, group.filters, group.prunable, group.reason)
    ('hidden',) 8 True
    ('logits',) 3 False output of the model
    """
    return _Analysis(model, skip).groups()


class Channels(NamedTuple):
    """Channels of a value: arrays that broadcast to its shape, with a batch of 1.

    `ids` are the channels of the elements, and `zero` is NOT_ZERO, PADDED or ZERO, the elements'
    value if the filters of the channel are zero.
    """

    ids: np.ndarray
    zero: np.ndarray


class _Unknown(Exception):
    """An operation whose channels cannot be followed."""


class _Analysis:
    """The channels of all values of a model, and which of them are tied: union-find."""

    def __init__(self, model: keras.Model, skip: Sequence[str]):
        require_graph(model)
        self.graph: Graph = opened(model)
        self.parent: list[int] = []
        self.fixed: dict[int, str] = {}  # channel: reason why it stays
        self.filters: dict[int, tuple[Step, np.ndarray]] = {}  # by layer: channels of its filters
        self.rows: list[np.ndarray] = []  # (groups, n): as many channels stay in each group
        self.channels: dict[Value, Channels] = {}
        self.first: dict[int, list[Channels]] = {}  # by operation: those of its first call
        for value in self.graph.inputs.values():
            self.channels[value] = self.fix_new(value, "input of the model")
        for step in self.graph.steps:
            for value, channels in zip(step.outputs, self.follow(step), strict=True):
                self.channels[value] = channels
        for value in self.graph.outputs.values():
            self.fix(self.channels[value].ids, "output of the model")
        by_name = {step.name: ids for step, ids in self.filters.values()}
        for name in skip:
            if name not in by_name:
                raise ValueError(unknown("layer with filters", name, by_name))
            self.fix(by_name[name], "skipped")

    # Channels

    def new(self, *shape: int) -> np.ndarray:
        """Return new channels."""
        ids = np.arange(math.prod(shape)) + len(self.parent)
        self.parent += ids.tolist()
        return ids.reshape(shape)

    def find(self, channel: int) -> int:
        """Return the representative of the channels that are tied to one."""
        parent = self.parent
        while parent[channel] != channel:
            parent[channel] = channel = parent[parent[channel]]
        return channel

    def tie(self, first: np.ndarray, second: np.ndarray) -> None:
        """Tie channels elementwise."""
        pairs = np.stack([*map(np.ravel, np.broadcast_arrays(first, second))], axis=-1)
        for one, other in np.unique(pairs, axis=0).tolist():
            one, other = self.find(one), self.find(other)
            self.parent[max(one, other)] = min(one, other)

    def fix(self, ids: np.ndarray, reason: str) -> None:
        """Keep channels, and all that are tied to them."""
        for channel in np.unique(ids).tolist():
            self.fixed.setdefault(channel, reason)

    def fix_new(self, value: Value, reason: str) -> Channels:
        """Return channels on the last axis of a value, which stay."""
        ids = self.new(*[1] * (len(value.shape) - 1), value.shape[-1] or 1)
        self.fix(ids, reason)
        return Channels(ids, np.zeros_like(ids))

    def last(self, channels: Channels, value: Value) -> Channels:
        """Return the channels (c,) on the last axis, tied over the others."""
        count = value.shape[-1] or 1
        ids, zero = (
            np.broadcast_to(a, (*a.shape[:-1], count)).reshape(-1, count) for a in channels
        )
        self.tie(ids[:1], ids)
        return Channels(ids[0], zero.min(axis=0))

    # Steps

    def follow(self, step: Step) -> list[Channels]:
        """Return the channels of a step's outputs."""
        before = [self.channels[value] for value in step.inputs]
        operation = step.operation
        try:
            after = _rule(operation)(self, step, before)
        except _Unknown:
            reason = f"used by {step.name} ({type(operation).__name__})"
            for channels in before:
                self.fix(channels.ids, reason)
            return [self.fix_new(value, f"output of {step.name}") for value in step.outputs]
        if getattr(operation, "weights", ()) or type(operation).__name__ in REBUILT:
            calls = self.first.setdefault(id(operation), [*before, *after])
            for one, other in zip(calls, [*before, *after], strict=True):
                if one.ids.shape == other.ids.shape:
                    self.tie(one.ids, other.ids)
                else:
                    self.fix(one.ids, f"used by {step.name}, which is shared")
                    self.fix(other.ids, f"used by {step.name}, which is shared")
        return after

    def read(self, step: Step, channels: Channels) -> np.ndarray:
        """Return the channels (c,) of a step that sums over channels: zeros can be left out."""
        ids, zero = self.last(channels, step.inputs[0])
        self.fix(ids[zero != ZERO], f"not zero without its filter in {step.name}")
        return ids

    def produce(self, step: Step) -> Channels:
        """Return the channels of a layer's filters, after its activation."""
        value = step.outputs[0]
        shape = (*[1] * (len(value.shape) - 1), value.shape[-1])
        _, ids = self.filters.setdefault(id(step.operation), (step, self.new(shape[-1])))
        state = self.activated(getattr(step.operation, "activation", None), ids, step)
        return Channels(ids.reshape(shape), np.full(shape, state))

    def activated(self, function: Callable | None, ids: np.ndarray, step: Step) -> int:
        """Return whether an activation keeps zeros, and fix channels that it mixes."""
        if function is None:
            return ZERO
        x = np.array([[-1.5, 0.0, 0.5, 2.0]], "float32")
        values, fewer = (keras.ops.convert_to_numpy(function(part)) for part in (x, x[:, :3]))
        if values.shape != x.shape or not np.allclose(values[:, :3], fewer):
            raise _Unknown
        return ZERO if values[0, 1] == 0 else NOT_ZERO

    # Results

    def roots(self) -> tuple[np.ndarray, dict[int, str]]:
        """Return the representative of each channel, and {representative: why it stays}."""
        roots = np.array([self.find(channel) for channel in range(len(self.parent))], int)
        fixed: dict[int, str] = {}
        for channel, reason in self.fixed.items():
            fixed.setdefault(int(roots[channel]), reason)
        return roots, fixed

    def members(self, roots: np.ndarray) -> dict[int, list[str]]:
        """Return the layers whose filters have a channel: {representative: names}."""
        names: dict[int, list[str]] = {}
        for step, ids in self.filters.values():
            for root in np.unique(roots[ids]).tolist():
                names.setdefault(root, []).append(step.name)
        return names

    def groups(self) -> list[FilterGroup]:
        """Return all groups."""
        roots, fixed = self.roots()
        counts: dict[tuple, int] = {}
        for root, layers in self.members(roots).items():
            key = (tuple(layers), fixed.get(root, ""))
            counts[key] = counts.get(key, 0) + 1
        return [
            FilterGroup(layers, count, not reason, reason)
            for (layers, reason), count in counts.items()
        ]


# Rules: (analysis, step, channels of its inputs) -> channels of its outputs.


def _convolve(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Convolutions and dense layers: new channels, which read those of the input."""
    layer = step.operation
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        raise _Unknown
    ids = analysis.read(step, before[0])
    after = analysis.produce(step)
    groups = getattr(layer, "groups", 1)
    if groups == len(ids) > 1:  # depthwise
        analysis.tie(ids[:, None], after.ids.reshape(groups, -1))
    elif groups > 1:
        analysis.rows += [ids.reshape(groups, -1), after.ids.reshape(groups, -1)]
    return [after]


def _depthwise(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Each channel of the input becomes one or more of the output, zero if the bias is."""
    value, layer = step.outputs[0], step.operation
    ids, zero = analysis.last(before[0], step.inputs[0])
    shape = (*[1] * (len(value.shape) - 1), value.shape[-1])
    after = analysis.new(len(ids), value.shape[-1] // len(ids))
    analysis.tie(ids[:, None], after)
    state = analysis.activated(layer.activation, after, step)
    zero = np.broadcast_to(np.where(zero[:, None] == ZERO, state, NOT_ZERO), after.shape)
    return [Channels(after.reshape(shape), zero.reshape(shape))]


def _norm(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Weights for each channel; zeroed, they give zero."""
    layer = step.operation
    if getattr(layer, "axis", -1) not in (-1, len(step.inputs[0].shape) - 1):
        raise _Unknown
    ids, zero = before[0]
    scaled = getattr(layer, "scale", False) is not False
    return [Channels(ids, np.full_like(zero, ZERO) if scaled else zero)]


def _elementwise(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Activations: zero stays zero or not."""
    (ids, zero), *others = before
    if others:
        raise _Unknown
    state = analysis.activated(lambda x: _call(step, [x]), ids, step)
    return [Channels(ids, np.where(zero == ZERO, state, NOT_ZERO))]


def _same(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Dropout and other layers that keep channels and zeros."""
    if len(before) != 1:
        raise _Unknown
    return before


def _spatial(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Pools and paddings: channels stay, whatever the size of the map."""
    ids, zero = analysis.last(before[0], step.inputs[0])
    value, name = step.outputs[0], type(step.operation).__name__
    if len(before) > 1 or value.shape[-1] != len(ids):
        raise _Unknown
    if "Max" in name:
        zero = np.where(zero == NOT_ZERO, NOT_ZERO, ZERO)  # a window has a pixel of the map
    else:
        zero = np.where(zero == PADDED, NOT_ZERO, zero)
    shape = (*[1] * (len(value.shape) - 1), len(ids))
    return [Channels(ids.reshape(shape), zero.reshape(shape))]


def _pad(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """keras.ops.pad of the map, or of the channels with zeros."""
    pad = step.operation
    widths: Any = pad.pad_width * (len(step.inputs[0].shape) if len(pad.pad_width) == 1 else 1)
    constant = _constants(step)
    ids, zero = analysis.last(before[0], step.inputs[0])
    if pad.mode != "constant" or len(constant) > 1:
        raise _Unknown
    number = float(constant[0]) if constant else 0.0
    if any(sum(pair) for pair in widths[-1:]):
        if number:
            raise _Unknown
        first, last = widths[-1]
        ids = np.concatenate([analysis.new(first), ids, analysis.new(last)])
        zero = np.pad(zero, (first, last), constant_values=ZERO)
    elif number:
        zero = np.where(zero == ZERO, PADDED if number < 0 else NOT_ZERO, zero)
    shape = (*[1] * (len(widths) - 1), len(ids))
    return [Channels(ids.reshape(shape), zero.reshape(shape))]


def _merge(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Sums, products and the like: tied elementwise."""
    name = type(step.operation).__name__
    if name == "FractalJoin":
        before = before[:-1]  # without the column that is drawn
    constants = _constants(step)
    rank = len(step.outputs[0].shape)
    if any(len(value.shape) != rank for value in step.inputs[: len(before)]):
        raise _Unknown
    if any(np.size(constant) > 1 for constant in constants):
        raise _Unknown
    shape = np.broadcast_shapes(*(channels.ids.shape for channels in before))
    full, zeros = [], []
    for value, (ids, zero) in zip(step.inputs, before, strict=False):
        axes = zip(value.shape, ids.shape, shape, strict=True)
        if any(real == 1 < other and size == 1 for real, size, other in axes):
            analysis.fix(ids, f"broadcast by {step.name}")
        else:
            full.append(np.broadcast_to(ids, shape))
        zeros.append(np.broadcast_to(zero, shape))
    if not full:
        raise _Unknown
    for ids in full[1:]:
        analysis.tie(full[0], ids)
    zero = np.stack(zeros) == ZERO
    if name == "Multiply":
        zero = zero.any(axis=0)
    else:
        zero = zero.all(axis=0) & all(float(np.squeeze(c)) == 0 for c in constants)
    return [Channels(full[0], np.where(zero, ZERO, NOT_ZERO))]


def _move(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Operations that only move elements: called on the channels of the elements."""
    views = [
        [np.broadcast_to(array, _shape(value)) for array in channels]
        for value, channels in zip(step.inputs, before, strict=True)
    ]
    ids, zero = (_moved(step.operation, step, [*arrays]) for arrays in zip(*views, strict=True))
    if any(a.shape != _shape(v) for a, v in zip(ids, step.outputs, strict=True)):
        raise _Unknown  # the batch is moved
    if type(step.operation).__name__ == "ChannelShuffle":
        groups = before[0].ids.reshape(step.operation.groups, -1)
        analysis.tie(groups[:1], groups)  # the same channels of each group stay
    return [_compressed(Channels(*pair)) for pair in zip(ids, zero, strict=True)]


def _matmul(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Products of matrices: one channel for each matrix, such as an attention head."""
    if len(before) != 2 or any(len(value.shape) < 3 for value in step.inputs):
        raise _Unknown
    matrices, zeros = [], []
    for ids, zero in before:
        rows = ids.reshape(*ids.shape[:-2], -1)
        analysis.tie(rows[..., :1], rows)
        matrices.append(ids[..., :1, :1])
        zeros.append(zero.min(axis=(-2, -1), keepdims=True) == ZERO)
    analysis.tie(*matrices)
    ids, zero = np.broadcast_arrays(matrices[0], zeros[0] | zeros[1])
    return [Channels(ids, np.where(zero, ZERO, NOT_ZERO))]


def _attention_weights(analysis: _Analysis, step: Step, before: list[Channels]) -> list[Channels]:
    """Softmax within a head."""
    ids, zero = before[0]
    if len(before) > 1 or ids.shape[-1] > 1:
        raise _Unknown
    return [Channels(ids, np.full_like(zero, NOT_ZERO))]


RULES = {
    **dict.fromkeys(("BaseConv", "BaseConvTranspose", "BaseSeparableConv", "Dense"), _convolve),
    "SparseConv2D": _convolve,
    "BaseDepthwiseConv": _depthwise,
    **dict.fromkeys(("BatchNormalization", "LayerScale"), _norm),
    **dict.fromkeys(("PReLU", "PositionEmbedding", "ClassToken"), _same),
    **dict.fromkeys(("Dropout", "BaseSpatialDropout", "GaussianDropout", "DropPath"), _same),
    **dict.fromkeys(("Identity", "ActivityRegularization", "Cutout", "StopGradient"), _same),
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "Relu", "Relu6"), _elementwise),
    **dict.fromkeys(("LeakyRelu", "Elu", "Gelu", "Silu", "HardSilu", "Tanh"), _elementwise),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Softplus", "Abs", "Absolute"), _elementwise),
    **dict.fromkeys(("BasePooling", "BaseGlobalPooling", "BaseAdaptivePooling"), _spatial),
    **dict.fromkeys(("AdaptiveAveragePooling2D", "FractionalMaxPooling2D"), _spatial),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "PadTo"), _spatial),
    **dict.fromkeys(("Cropping1D", "Cropping2D", "Cropping3D"), _spatial),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D", "UpSampling3D", "Resizing"), _spatial),
    "Pad": _pad,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merge),
    "FractalJoin": _merge,
    **dict.fromkeys(("Flatten", "Reshape", "Permute", "Transpose", "GetItem", "Split"), _move),
    **dict.fromkeys(("Squeeze", "ExpandDims", "Concatenate", "ChannelShuffle"), _move),
    "Matmul": _matmul,
    "AttentionWeights": _attention_weights,
}
REBUILT = ("Reshape", "Split", "Pad")  # operations without weights whose settings are sizes


def _rule(operation: Any) -> Callable:
    """Return the rule of an operation of Keras or of cvcourse."""
    known = type(operation).__module__.partition(".")[0] in ("keras", "cvcourse")
    if known and getattr(operation, "data_format", None) != "channels_first":
        for base in type(operation).__mro__:
            if base.__name__ in RULES:
                return RULES[base.__name__]

    def unknown_operation(*_):
        raise _Unknown

    return unknown_operation


def _constants(step: Step) -> list[Any]:
    """Return the numbers and arrays among the arguments of a step."""
    leaves = keras.tree.flatten((step.args, step.kwargs))
    return [
        leaf
        for leaf in leaves
        if leaf is not None and not isinstance(leaf, (Value, str, bool, slice))
    ]


def _shape(value: Value) -> tuple[int, ...]:
    """Return the shape of a value for a batch of 1, with 1 for sides of any length."""
    return tuple(side or 1 for side in value.shape)


def _call(step: Step, arrays: Sequence[Any], operation: Any = None) -> Any:
    """Call the operation of a step on other inputs."""
    places = dict(zip(step.inputs, arrays, strict=True))
    args, kwargs = keras.tree.map_structure(
        lambda leaf: places[leaf] if isinstance(leaf, Value) else leaf, (step.args, step.kwargs)
    )
    return (operation or step.operation)(*args, **kwargs)


def _moved(operation: Any, step: Step, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Call an operation that moves elements on integers."""
    tensors = [keras.ops.convert_to_tensor(array, "int32") for array in arrays]
    try:
        outputs = keras.tree.flatten(_call(step, tensors, operation))
    except Exception as error:  # sides of any length
        raise _Unknown from error
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def _compressed(channels: Channels) -> Channels:
    """Shorten all axes but the last on which nothing varies."""
    for axis in range(channels.ids.ndim - 1):
        first = [array.take([0], axis) for array in channels]
        if all((one == array).all() for one, array in zip(first, channels, strict=True)):
            channels = Channels(*first)
    return channels


# From the analysis to the smaller model.


class _Plan:
    """The channels that stay."""

    def __init__(self, analysis: _Analysis, keep: float, criterion: str):
        self.analysis = analysis
        self.keep = keep
        self.criterion = criterion
        while True:
            self.select()
            if not any([*map(self.misfits, self.changed())]):  # each of them
                break

    def select(self) -> None:
        """Choose the channels, as a bool for each."""
        analysis = self.analysis
        roots, fixed = self.roots, self.fixed = analysis.roots()
        scores = self.scores(roots)
        marks: dict[int, list] = {root: [*names] for root, names in analysis.members(roots).items()}
        rows = [roots[ids] for ids in analysis.rows]
        for number, array in enumerate(rows):
            for row, of_row in enumerate(array):
                for root in np.unique(of_row).tolist():
                    marks.setdefault(root, []).append((number, row))
        groups: dict[tuple, list[int]] = {}
        for root, signature in marks.items():
            groups.setdefault(tuple(signature), []).append(root)
        stays = np.ones(len(roots), bool)
        for members in groups.values():
            free = [root for root in members if root not in fixed]
            if len(free) == len(members):
                count = max(1, math.floor(self.keep * len(members) + 0.5))
                order = sorted(free, key=lambda root: -scores[root])
                stays[order[count:]] = False
        self.even(rows, stays, scores)
        self.stays = stays[roots]

    def even(self, rows: Iterable[np.ndarray], stays: np.ndarray, scores: np.ndarray) -> None:
        """Take the best channels back until the groups of each convolution are of equal size."""
        rows = [*rows]
        uneven = True
        while uneven:
            uneven = False
            for array in rows:
                most = stays[array].sum(axis=1).max()
                for row in array:
                    while stays[row].sum() < most:
                        dead = row[~stays[row]]
                        stays[dead[np.argmax(scores[dead])]] = uneven = True

    def scores(self, roots: np.ndarray) -> np.ndarray:
        """Return the importance of each representative."""
        if self.criterion == "random":
            return np.random.default_rng(0).uniform(size=len(roots))
        power = {"l1": 1, "l2": 2}[self.criterion]
        scores = np.zeros(len(roots))
        for step, ids in self.analysis.filters.values():
            np.add.at(scores, roots[ids], _norms(step.operation, power))
        return scores

    def kept(self, value: Value) -> np.ndarray:
        """Return which channels (c,) of the last axis stay."""
        ids = self.analysis.channels[value].ids
        count = value.shape[-1] or 1
        return self.stays[np.broadcast_to(ids, (*ids.shape[:-1], count)).reshape(-1, count)[0]]

    def shrinks(self, value: Value) -> bool:
        """Whether a value loses channels."""
        return not self.stays[self.analysis.channels[value].ids].all()

    def changed(self) -> list[Step]:
        """Return the steps whose inputs or outputs lose channels."""
        return [
            step
            for step in self.analysis.graph.steps
            if any(map(self.shrinks, (*step.inputs, *step.outputs)))
        ]

    def rest(self, value: Value) -> np.ndarray | None:
        """Return the channels that stay, as an array of the new shape; None if there is none."""
        ids = np.broadcast_to(self.analysis.channels[value].ids, _shape(value))
        stays = self.stays[ids]
        axes = range(ids.ndim)
        masks = [stays.any(axis=tuple(a for a in axes if a != axis)) for axis in axes]
        places = np.ix_(*map(np.flatnonzero, masks))
        return ids[places] if stays[places].all() else None

    def misfits(self, step: Step) -> bool:
        """Fix the channels of a step that moves elements if it cannot move what is left."""
        if _rule(step.operation) is not _move:
            return False
        before, after = ([self.rest(v) for v in values] for values in (step.inputs, step.outputs))
        if not any(array is None for array in (*before, *after)):
            try:
                moved = _moved(self.operation(step), step, before)  # type: ignore[arg-type]
                if all(map(np.array_equal, moved, after)):
                    return False
            except _Unknown:
                pass
        for value in (*step.inputs, *step.outputs):
            reason = f"used by {step.name} ({type(step.operation).__name__})"
            self.analysis.fix(self.analysis.channels[value].ids, reason)
        return True

    def smaller(self) -> dict[str, Any]:
        """Return the smaller operations by name."""
        made: dict[str, Any] = {}
        for step in self.changed():
            if step.name not in made:
                operation = self.operation(step)
                if operation is not step.operation:
                    made[step.name] = operation
        return made

    def operation(self, step: Step) -> Any:
        """Return the smaller operation of a step; itself if it has no sizes."""
        old: Any = step.operation
        kind = type(old).__name__
        if kind not in REBUILT:
            return self.layer(step) if getattr(old, "weights", ()) else old
        config = old.get_config()
        if kind == "Reshape":
            key = "target_shape" if "target_shape" in config else "newshape"
            sizes = self.rest(step.outputs[0]).shape[-len(config[key]) :]
            config[key] = tuple(
                size if size in (-1, None) else new
                for size, new in zip(config[key], sizes, strict=True)
            )
        elif kind == "Split":
            sizes = [self.rest(part).shape[old.axis] for part in step.outputs]
            config["indices_or_sections"] = tuple(np.cumsum(sizes[:-1]).tolist())
        else:
            first, last = old.pad_width[-1]
            kept = self.kept(step.outputs[0])
            ends = [int(kept[:first].sum()), int(kept[len(kept) - last :].sum())]
            config["pad_width"] = [*map(list, old.pad_width[:-1]), ends]
        return type(old).from_config(config)

    def layer(self, step: Step) -> Any:
        """Return a smaller layer with weights."""
        old: Any = step.operation
        value = step.inputs[0]
        before, after = self.kept(value), self.kept(step.outputs[0])
        config = old.get_config()
        for name in ("filters", "units"):
            if name in config:
                config[name] = int(after.sum())
        if config.get("groups", 1) == len(before):
            config["groups"] = int(before.sum())
        if "connections" in config:
            position = np.cumsum(before) - 1
            config["connections"] = [
                [int(position[i]) for i in maps if before[i]]
                for maps, stays in zip(old.connections, after, strict=True)
                if stays
            ]
        layer = type(old).from_config(config)
        layer.build((*value.shape[:-1], int(before.sum())))
        layer.set_weights(
            [
                _cut(old, weight.name, np.array(keras.ops.convert_to_numpy(weight)), before, after)
                for weight in old.weights
            ]
        )
        return layer

    def tell(self, technique: str) -> None:
        """Print one line with the layers that keep all filters."""
        left: dict[str, str] = {}
        for step, ids in self.analysis.filters.values():
            if self.stays[ids].all():
                left[step.name] = self.fixed.get(int(self.roots[ids[0]]), "")
        if left:
            listed = ", ".join(f"{name} ({why})" if why else name for name, why in left.items())
            print(f"{technique}: all filters kept: {listed}", file=sys.stderr, flush=True)


def _plan(model: keras.Model, keep: float, criterion: str, skip: Sequence[str]) -> _Plan:
    """Check the arguments, and choose the channels that stay."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep is a fraction of the filters in (0, 1]; received {keep!r}")
    pick("criterion", criterion, dict.fromkeys(CRITERIA))
    analysis = _Analysis(model, skip)
    groups = analysis.groups()
    if not any(group.prunable for group in groups):
        why = "; ".join(f"{', '.join(group.layers)}: {group.reason}" for group in groups)
        raise ValueError(f"{model.name} has no filters that can be removed ({why})")
    return _Plan(analysis, keep, criterion)


# Weights by channels. The last axis of a weight is that of the outputs, with three exceptions.


def _links(layer: Any) -> list[tuple[int, int]]:
    """Return (input, output) of each filter of a SparseConv2D."""
    return [(i, j) for j, maps in enumerate(layer.connections) for i in maps]


def _is_transposed(layer: Any) -> bool:
    """Whether a kernel has the outputs before the inputs."""
    return any(base.__name__ == "BaseConvTranspose" for base in type(layer).__mro__)


def _is_depthwise(layer: Any, name: str) -> bool:
    """Whether a kernel is (…, inputs, multiplier)."""
    return hasattr(layer, "depth_multiplier") and name in ("kernel", "depthwise_kernel")


def _norms(layer: Any, power: int) -> np.ndarray:
    """Return the sum of |weight| ** power of each filter of a layer."""
    (kernel,) = (
        np.abs(keras.ops.convert_to_numpy(weight).astype("float64")) ** power
        for weight in layer.weights
        if weight.name.endswith("kernel") and not _is_depthwise(layer, weight.name)
    )
    if hasattr(layer, "connections"):
        outputs = [j for _, j in _links(layer)]
        return np.bincount(outputs, kernel.sum(axis=(0, 1)), len(layer.connections))
    if _is_transposed(layer):
        kernel = np.swapaxes(kernel, -1, -2)
    return kernel.reshape(-1, kernel.shape[-1]).sum(axis=0)


def _zero(layer: Any, name: str, value: np.ndarray, dead: np.ndarray) -> None:
    """Zero the filters of dead channels in place."""
    if name == "kernel" and hasattr(layer, "connections"):
        value[..., dead[[j for _, j in _links(layer)]]] = 0
    elif name == "kernel" and _is_transposed(layer):
        value[..., dead, :] = 0
    elif name == "kernel" and _is_depthwise(layer, name):
        value[..., dead.reshape(value.shape[-2:])] = 0
    elif name not in ("depthwise_kernel", "moving_variance") and value.shape[-1] == len(dead):
        value[..., dead] = 0


def _cut(
    layer: Any, name: str, value: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Return a weight without the inputs and outputs that do not stay."""
    if name == "kernel" and hasattr(layer, "connections"):
        return value[..., [before[i] and after[j] for i, j in _links(layer)]]
    if _is_depthwise(layer, name):
        return value[..., before, :]
    if name == "pointwise_kernel":
        return value[..., np.repeat(before, layer.depth_multiplier), :][..., after]
    if name == "kernel" and _is_transposed(layer):
        return value[..., after, :][..., before]
    if name == "kernel":
        groups = getattr(layer, "groups", 1)
        parts = zip(*(np.split(array, groups, -1) for array in (value, before, after)), strict=True)
        return np.concatenate([kernel[..., i, :][..., o] for kernel, i, o in parts], axis=-1)
    return value[..., after] if value.shape[-1] == len(after) else value
