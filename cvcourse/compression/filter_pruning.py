"""Filter pruning: physically smaller layers, by removing the filters with the smallest norms.

Li, Kadav, Durdanovic, Samet & Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017,
https://arxiv.org/abs/1608.08710, section 3. Filters that a sum, a product or a depthwise
convolution ties together are removed together, and with them the weights that read their maps.
"""

import dataclasses
import math
import numbers
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvcourse.compression.channels import (
    REBUILT,
    ChannelGraph,
    UnknownChannels,
    call_on_integers,
    description,
    moves,
    shape_of,
    size_of,
)
from cvcourse.compression.kernel_wrapper import plain
from cvcourse.compression.kernels import is_depthwise, is_transposed
from cvcourse.compression.surgery import replaced
from cvcourse.errors import pick
from cvcourse.layers.graph import Step, Value, opened

CRITERIA = ("l1", "l2", "random")


@dataclasses.dataclass(frozen=True)
class FilterGroup:
    """Filters of layers that are tied: filter i of each is removed with filter i of the others.

    Args:
        layers: Names of the layers, within nested models "model/layer".
        filters: Number of filters of each layer in this group.
        prunable: Whether filters can be removed.
        reason: Why not, or "".

    >>> FilterGroup(("conv1", "conv2"), 16, True).filters
    16
    """

    layers: tuple[str, ...]
    filters: int
    prunable: bool
    reason: str = ""


def prune_filters(
    model: keras.Model,
    keep: float = 0.5,
    *,
    criterion: str = "l1",
    skip: Sequence[str] = (),
    seed: int = 0,
) -> keras.Model:
    """Remove the filters with the smallest norms; the outputs are those of `zero_filters`.

    The channels of inputs, outputs and layer normalizations stay, as do channels that are not zero
    if their filters are, such as those after a sigmoid. Grouped convolutions keep the same number
    of filters in each group: where several are tied, that can be far more than `keep`. One line on
    stderr names the layers that keep all filters.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        keep: Fraction of the filters of each group that stays, in (0, 1]; at least one stays.
        criterion: Importance of a filter, summed over tied filters: "l1", sum of the absolute
            weights (section 3.1); "l2", Euclidean norm; or "random", for comparison.
        skip: Names of layers that keep all filters.
        seed: Random seed of the criterion "random".

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
    model = plain(model)
    plan = _plan(model, keep, criterion, skip, seed)
    plan.tell("prune_filters")
    return replaced(model, {name: [operation] for name, operation in plan.smaller().items()})


def zero_filters(
    model: keras.Model,
    keep: float = 0.5,
    *,
    criterion: str = "l1",
    skip: Sequence[str] = (),
    seed: int = 0,
) -> keras.Model:
    """Set to zero the filters that `prune_filters` removes, with their biases and norms.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        keep: See `prune_filters`.
        criterion: See `prune_filters`.
        skip: See `prune_filters`.
        seed: See `prune_filters`.

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
    model = plain(model)
    plan = _plan(model, keep, criterion, skip, seed)
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


def tied_layers(model: keras.Model, *, skip: Sequence[str] = ()) -> list[str]:
    """List the layers that are tied to others, as the sums of a residual network do.

    Args:
        model: Functional or Sequential keras.Model.
        skip: See `prune_filters`.

    Returns:
        Their names, sorted. With these in `skip`, only inner filters of blocks are removed.

    Raises:
        ValueError: As `filter_groups`.
    """
    groups = filter_groups(model, skip=skip)
    return sorted({layer for group in groups if len(group.layers) > 1 for layer in group.layers})


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
    ...     print(group.layers, group.filters, group.reason or "prunable")
    ('hidden',) 8 prunable
    ('logits',) 3 output of the model
    """
    return _groups(ChannelGraph(plain(model), skip))


def _groups(graph: ChannelGraph) -> list[FilterGroup]:
    """Return the groups of `filter_groups`."""
    roots, fixed = graph.roots()
    counts: dict[tuple, int] = {}
    for root, layers in graph.members(roots).items():
        key = (tuple(layers), fixed.get(root, ""))
        counts[key] = counts.get(key, 0) + 1
    return [
        FilterGroup(layers, count, not reason, reason) for (layers, reason), count in counts.items()
    ]


class _Plan:
    """The channels that stay."""

    def __init__(self, graph: ChannelGraph, keep: float, criterion: str, seed: int):
        self.graph = graph
        self.keep = keep
        self.criterion = criterion
        self.seed = seed
        while True:
            self.select()
            if not any([*map(self.cannot_move, self.changed())]):  # each of them
                break

    def select(self) -> None:
        """Choose the channels, as a bool for each."""
        graph = self.graph
        roots, fixed = self.roots, self.fixed = graph.roots()
        scores = self.scores(roots)
        marks: dict[int, list] = {root: [*names] for root, names in graph.members(roots).items()}
        for number, parts in enumerate([*graph.rows, *graph.parts]):
            for part, ids in enumerate(parts):
                for root in np.unique(roots[ids]).tolist():
                    marks.setdefault(root, []).append((number, part))
        groups: dict[tuple, list[int]] = {}  # channels of the same filters, rows and parts
        for root, signature in marks.items():
            if root not in fixed:
                groups.setdefault(tuple(signature), []).append(root)
        stays = np.ones(len(roots), bool)
        for members in groups.values():
            count = max(1, math.floor(self.keep * len(members) + 0.5))
            stays[sorted(members, key=lambda root: -scores[root])[count:]] = False
        self.equalize([roots[ids] for ids in graph.rows], stays, scores)
        self.stays = stays[roots]

    def equalize(self, rows: list[np.ndarray], stays: np.ndarray, scores: np.ndarray) -> None:
        """Take the best channels back until the groups of each convolution are of equal size."""
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
            return np.random.default_rng(self.seed).uniform(size=len(roots))
        power = {"l1": 1, "l2": 2}[self.criterion]
        scores = np.zeros(len(roots))
        for step, ids in self.graph.filters.values():
            np.add.at(scores, roots[ids], _norms(step.operation, power))
        return scores

    def kept(self, value: Value) -> np.ndarray:
        """Return which channels (c,) of the last axis stay."""
        ids = self.graph.channels[value].ids
        return self.stays[np.broadcast_to(ids.reshape(-1, ids.shape[-1])[0], size_of(value))]

    def shrinks(self, value: Value) -> bool:
        """Whether a value loses channels."""
        return not self.stays[self.graph.channels[value].ids].all()

    def changed(self) -> list[Step]:
        """Return the steps whose inputs or outputs lose channels."""
        return [
            step
            for step in self.graph.steps
            if any(map(self.shrinks, (*step.inputs, *step.outputs)))
        ]

    def remaining(self, value: Value) -> np.ndarray:
        """Return the channels that stay, as an array of the new shape."""
        ids = np.broadcast_to(self.graph.channels[value].ids, shape_of(value))
        stays = self.stays[ids]
        axes = range(ids.ndim)
        masks = [stays.any(axis=tuple(a for a in axes if a != axis)) for axis in axes]
        places = np.ix_(*map(np.flatnonzero, masks))
        if not stays.any() or not stays[places].all():
            raise UnknownChannels
        return ids[places]

    def cannot_move(self, step: Step) -> bool:
        """Fix the channels of a step that moves elements if it cannot move what is left."""
        if not moves(step):
            return False
        try:
            before, after = (
                [self.remaining(value) for value in values]
                for values in (step.inputs, step.outputs)
            )
            moved = call_on_integers(self.operation(step), step, before)
            if all(np.array_equal(*pair) for pair in zip(moved, after, strict=True)):
                return False
        except UnknownChannels:
            pass
        for value in (*step.inputs, *step.outputs):
            self.graph.fix(self.graph.channels[value].ids, f"used by {description(step)}")
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
            sides = self.remaining(step.outputs[0]).shape[-len(config[key]) :]
            pairs = zip(config[key], sides, strict=True)
            config[key] = tuple(side if side in (-1, None) else new for side, new in pairs)
        elif kind == "Split":
            sizes = [self.remaining(part).shape[old.axis] for part in step.outputs]
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
            [_cut(old, w.name, keras.ops.convert_to_numpy(w), before, after) for w in old.weights]
        )
        return layer

    def tell(self, technique: str) -> None:
        """Print one line with the layers that keep all filters."""
        left: dict[str, str] = {}
        for step, ids in self.graph.filters.values():
            if self.stays[ids].all():
                reasons = [self.fixed.get(root, "") for root in self.roots[ids].tolist()]
                left[step.name] = max(reasons, key=bool)
        if left:
            listed = ", ".join(f"{name} ({why})" if why else name for name, why in left.items())
            print(f"{technique}: all filters kept: {listed}", file=sys.stderr, flush=True)


def _plan(model: keras.Model, keep: float, criterion: str, skip: Sequence[str], seed: int) -> _Plan:
    """Check the arguments, and choose the channels that stay."""
    if not (isinstance(keep, numbers.Real) and 0 < keep <= 1):
        raise ValueError(f"keep is a fraction of the filters in (0, 1]; received {keep!r}")
    pick("criterion", criterion, dict.fromkeys(CRITERIA))
    graph = ChannelGraph(model, skip)
    groups = _groups(graph)
    if not any(group.prunable for group in groups):
        why = "; ".join(f"{', '.join(group.layers)}: {group.reason}" for group in groups)
        raise ValueError(f"{model.name} has no filters that can be removed{why and f' ({why})'}")
    return _Plan(graph, keep, criterion, seed)


# Weights by channels. The last axis of a weight is that of the outputs, with three exceptions.


def _links(layer: Any) -> list[tuple[int, int]]:
    """Return (input, output) of each filter of a SparseConv2D."""
    return [(i, j) for j, maps in enumerate(layer.connections) for i in maps]


def _norms(layer: Any, power: int) -> np.ndarray:
    """Return the sum of |weight| ** power of each filter of a layer."""
    (kernel,) = (
        np.abs(keras.ops.convert_to_numpy(weight).astype("float64")) ** power
        for weight in layer.weights
        if weight.name.endswith("kernel") and not is_depthwise(layer, weight.name)
    )
    if hasattr(layer, "connections"):
        outputs = [j for _, j in _links(layer)]
        return np.bincount(outputs, kernel.sum(axis=(0, 1)), len(layer.connections))
    if is_transposed(layer):
        kernel = np.swapaxes(kernel, -1, -2)
    return kernel.reshape(-1, kernel.shape[-1]).sum(axis=0)


def _zero(layer: Any, name: str, value: np.ndarray, dead: np.ndarray) -> None:
    """Zero the filters of dead channels in place."""
    if name == "kernel" and hasattr(layer, "connections"):
        value[..., dead[[j for _, j in _links(layer)]]] = 0
    elif name == "kernel" and is_transposed(layer):
        value[..., dead, :] = 0
    elif name == "kernel" and is_depthwise(layer, name):
        value[..., dead.reshape(value.shape[-2:])] = 0
    elif name not in ("depthwise_kernel", "moving_variance") and value.shape[-1] == len(dead):
        value[..., dead] = 0


def _cut(
    layer: Any, name: str, value: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Return a weight without the inputs and outputs that do not stay."""
    if name == "kernel" and hasattr(layer, "connections"):
        return value[..., [before[i] and after[j] for i, j in _links(layer)]]
    if is_depthwise(layer, name):
        return value[..., before, :]
    if name == "pointwise_kernel":
        return value[..., np.repeat(before, layer.depth_multiplier), :][..., after]
    if name == "kernel" and is_transposed(layer):
        return value[..., after, :][..., before]
    groups = getattr(layer, "groups", 1)
    if name == "kernel" and not groups == len(before) > 1:
        parts = zip(*(np.split(array, groups, -1) for array in (value, before, after)), strict=True)
        return np.concatenate([kernel[..., i, :][..., o] for kernel, i, o in parts], axis=-1)
    return value[..., after] if value.shape[-1] == len(after) else value
