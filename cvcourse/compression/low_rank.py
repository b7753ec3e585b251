"""Low-rank factorization: replace a layer by a chain of layers with fewer weights.

Singular value decomposition of dense layers: Girshick 2015, https://arxiv.org/abs/1504.08083,
section 3.1. Channel decomposition of convolutions: Zhang et al. 2015,
https://arxiv.org/abs/1505.06798, section 3.1, also the rule that distributes ranks, section 3.4.
Spatial decomposition: Jaderberg et al. 2014, https://arxiv.org/abs/1405.3866, scheme 2, solved by
one decomposition as in Tai et al. 2016, https://arxiv.org/abs/1511.06067. Tucker-2: Kim et al.
2016, https://arxiv.org/abs/1511.06530. All approximate the kernel; none uses data.
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers as keras_layers

from cvcourse.compression.kernel_wrapper import plain
from cvcourse.compression.kernels import Kernel, kernels, tell_untouched
from cvcourse.compression.surgery import replaced
from cvcourse.errors import pick
from cvcourse.layers import GroupedConv2D
from cvcourse.layers.graph import opened
from cvcourse.layers.step_cost import fixed_graph
from cvcourse.layers.step_cost import macs as macs_of_step

CONVOLUTIONS = (
    *(keras_layers.Conv1D, keras_layers.Conv2D, keras_layers.Conv3D),
    GroupedConv2D,
)
ROUNDING = 1e-10  # share of the energy; below it, singular values are float32's rounding errors


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Singular values of a kernel.

    Attributes:
        name: Name of the layer, within nested models "model/layer".
        shape: Shape of the kernel.
        singular_values: Singular values of the kernel as a matrix, largest first.
        rank_90: Smallest rank that keeps 90 % of the sum of squared singular values.
        rank_95: Smallest rank that keeps 95 %.
        rank_99: Smallest rank that keeps 99 %.
        break_even: Largest rank with at most the layer's parameters and multiply-accumulates.
    """

    name: str
    shape: tuple[int, ...]
    singular_values: np.ndarray
    rank_90: int
    rank_95: int
    rank_99: int
    break_even: int


def factorize(
    model: keras.Model,
    *,
    rank: int | Mapping[str, int] | None = None,
    energy: float | None = None,
    macs: float | None = None,
    scheme: str = "svd",
    layers: Sequence[str] | None = None,
) -> keras.Model:
    """Replace dense layers and convolutions by chains of layers of low rank.

    With the kernel (height, width, channels, filters), the chain of a convolution is:

    | scheme | layers | matrix whose singular values are cut off |
    |---|---|---|
    | svd, channel | height x width, `rank` filters; 1 x 1 | (height · width · channels, filters) |
    | spatial | height x 1, `rank` filters; 1 x width | (height · channels, width · filters) |
    | tucker | 1 x 1, `rank` filters; height x width, `rank` filters; 1 x 1 | both channel axes |

    A dense layer or 1 x 1 convolution becomes two, by the singular value decomposition, under each
    scheme. Only the last layer of a chain has the bias and the activation, and it keeps the name of
    the layer; the others are named "<layer>_v", or "<layer>_v" and "<layer>_core".

    Layers of other classes, grouped convolutions and layers that would not become smaller are left
    as they are; a line on stderr names those with many weights.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        rank: Rank of each layer, or {name of a layer: rank}, which factorizes only these layers.
        energy: Share of the sum of squared singular values that each layer keeps, over 0 up to 1.
        macs: Share of the model's multiply-accumulates that the result has at most, between 0
            and 1. One singular value after another is cut off: that with the smallest share of its
            layer's remaining energy per multiply-accumulate saved (Zhang et al. 2015,
            section 3.4, with the spectra of the kernels in place of the responses').
        scheme: "svd", "channel", "spatial" or "tucker"; see the table.
        layers: Names of the layers to factorize. If None, all that become smaller.

    Returns:
        An uncompiled functional keras.Model with the names of the layers of `model`, and further
        layers. Train it further: the error of a cut-off spectrum adds up over the layers.

    Raises:
        ValueError: Unless one of `rank`, `energy` and `macs` is given, for a value out of range, an
            unknown scheme or layer, a named layer that cannot be factorized or whose rank
            would make it larger, if no layer becomes smaller, if `macs` cannot be reached, and for
            a kernel with NaN or infinity.

    >>> net = keras.Sequential([keras.Input((64,)), keras_layers.Dense(32, name="logits")])
    >>> small = factorize(net, rank=4)
    >>> [(layer.name, layer.count_params()) for layer in small.layers[1:]]
    [('logits_v', 256), ('logits', 160)]
    """
    given = {"rank": rank, "energy": energy, "macs": macs}
    if sum(value is not None for value in given.values()) != 1:
        raise ValueError(f"factorize needs one of rank, energy and macs; received {given}")
    if isinstance(rank, Mapping):
        if layers is not None:
            raise ValueError("rank names its layers: leave `layers` out")
        layers = [*rank]
    model = plain(model)
    forms = _forms(model, scheme, layers)
    if rank is not None:
        ranks = _given_ranks(forms, rank, layers is not None)
    elif energy is not None:
        _check_share("energy", energy, "up to 1")
        ranks = {form: form.ranks_of(energy) for form in forms}
    else:
        _check_share("macs", macs, "and less than 1")
        ranks = _ranks_for(macs, model, forms)
    ranks = {form: own for form, own in ranks.items() if form.pays(own)}
    if not ranks:
        raise ValueError(
            f"no layer of {model.name} would become smaller: the ranks for energy={energy} are at "
            "or above the break-even; ask for less energy"
        )
    tell_untouched("factorize", model, [form.kernel for form in ranks])
    taken = {step.name.rpartition("/")[2] for step in opened(model).steps}
    return replaced(model, {f.kernel.step: f.chain(own, taken) for f, own in ranks.items()})


def spectrum(
    model: keras.Model, *, scheme: str = "svd", layers: Sequence[str] | None = None
) -> list[Spectrum]:
    """Compute the singular values of the kernels that `factorize` can replace.

    Args:
        model: Functional or Sequential keras.Model.
        scheme: Scheme of `factorize`, which determines the matrix.
        layers: Names of the layers. If None, all.

    Returns:
        A `Spectrum` for each layer, in the order of the graph. A convolution under "tucker" has
        two, of the input channels and of the filters.

    Raises:
        ValueError: For an unknown scheme or layer, a named layer that cannot be factorized, if
            there is no layer, and for a kernel with NaN or infinity.

    >>> net = keras.Sequential([keras.Input((64,)), keras_layers.Dense(32, name="logits")])
    >>> net.layers[0].kernel.assign(keras.ops.ones((64, 32))) is None
    False
    >>> [row] = spectrum(net)
    >>> round(float(row.singular_values[0]), 3), row.rank_99, row.break_even
    (45.255, 1, 21)
    """
    return [
        Spectrum(
            name=form.kernel.step,
            shape=tuple(form.kernel.variable.shape),
            singular_values=values,
            rank_90=_rank_of(values, 0.90),
            rank_95=_rank_of(values, 0.95),
            rank_99=_rank_of(values, 0.99),
            break_even=form.break_even,
        )
        for form in _forms(plain(model), scheme, layers)
        for values in form.spectra
    ]


class _Chain:
    """Ways to write a kernel as a chain of kernels, by the ranks; see the subclasses.

    Args:
        kernel: The kernel; its last axes are channels and filters, those before are spatial.
        calls: (input, output) of each call of its layer, the spatial sides.
    """

    def __init__(self, kernel: Kernel, calls: Sequence[tuple[tuple, tuple]]):
        self.kernel = kernel
        self.calls = calls
        *self.sides, self.channels, self.filters = kernel.variable.shape
        self.axes = range(len(self.sides))

    spectra: Any  # singular values, largest first: an array for each rank
    full: tuple[int, ...]  # the largest ranks

    def shapes(self, ranks: tuple) -> list[tuple[tuple, Sequence[int]]]:
        """Return [(shape of a kernel, spatial axes that it convolves)]."""
        raise NotImplementedError

    def values(self, ranks: tuple) -> list[np.ndarray]:
        """Return the kernels."""
        raise NotImplementedError

    @functools.cached_property
    def array(self) -> np.ndarray:
        array = keras.ops.convert_to_numpy(self.kernel.variable.value).astype("float64")
        if not np.isfinite(array).all():
            raise ValueError(f"the kernel of {self.kernel.step} contains NaN or infinity")
        return array

    def cost(self, ranks: tuple | None) -> tuple[int, int]:
        """Return (parameters, multiply-accumulates) of the kernels; None for the layer itself."""
        own = (*self.sides, self.channels, self.filters)
        chain = [(own, self.axes)] if ranks is None else self.shapes(ranks)
        done: set[int] = set()
        parameters = macs = 0
        for shape, axes in chain:
            done.update(axes)
            parameters += math.prod(shape)
            for before, after in self.calls:
                sides = (after[i] if i in done else before[i] for i in range(len(before)))
                macs += math.prod(shape) * math.prod(sides)
        return parameters, macs

    @functools.cached_property
    def own_cost(self) -> tuple[int, int]:
        return self.cost(None)

    def pays(self, ranks: tuple) -> bool:
        """Whether the chain has fewer parameters and multiply-accumulates than the layer."""
        return all(new < old for new, old in zip(self.cost(ranks), self.own_cost, strict=True))

    @functools.cached_property
    def break_even(self) -> int:
        rank = 0
        while rank < max(self.full) and all(
            new <= old
            for new, old in zip(self.cost(self.clipped(rank + 1)), self.own_cost, strict=True)
        ):
            rank += 1
        return rank

    def clipped(self, rank: int) -> tuple:
        return tuple(min(rank, most) for most in self.full)

    def ranks_of(self, energy: float) -> tuple:
        return tuple(_rank_of(values, energy) for values in self.spectra)

    def chain(self, ranks: tuple, taken: set[str]) -> list[keras.Layer]:
        """Return the layers of the chain, and add their names to `taken`."""
        layer = self.kernel.layer
        shape = layer.get_build_config()["input_shape"]
        values, names = self.values(ranks), ["v", "core"]
        chain = []
        for i, (value, (_, axes)) in enumerate(zip(values, self.shapes(ranks), strict=True)):
            last = i == len(values) - 1
            name = layer.name
            while not last and name in taken:  # twice if the layer is from a chain itself
                name = f"{name}_{names[i]}"
            taken.add(name)
            new = type(layer).from_config(_config(layer, name, value, axes, last))
            new.build(shape)
            new.kernel.assign(value)
            if last and layer.use_bias:
                new.bias.assign(np.array(layer.bias))
            shape = new.compute_output_shape(shape)
            chain.append(new)
        return chain


class _Svd(_Chain):
    """Two layers, of which the first convolves the first `split` spatial axes."""

    def __init__(self, kernel: Kernel, calls: Sequence, split: int):
        super().__init__(kernel, calls)
        self.split = split
        first, second = self.shapes((1,))
        self.full = (min(math.prod(first[0]), math.prod(second[0])),)

    def shapes(self, ranks):
        before, after = self.sides[: self.split], self.sides[self.split :]
        first = (*before, *(1 for _ in after), self.channels, *ranks)
        second = (*(1 for _ in before), *after, *ranks, self.filters)
        return [(first, self.axes[: self.split]), (second, self.axes[self.split :])]

    @functools.cached_property
    def matrix(self):
        array = np.moveaxis(self.array, -2, self.split)
        return array.reshape(math.prod(array.shape[: self.split + 1]), -1)

    @functools.cached_property
    def decomposition(self):
        """The singular vectors of the shorter side, and the singular values."""
        return _left(self.matrix if np.less_equal(*self.matrix.shape) else self.matrix.T)

    @property
    def spectra(self):
        return [self.decomposition[1]]

    def values(self, ranks):
        (rank,) = ranks
        basis, s = (part[..., :rank] for part in self.decomposition)
        root = np.sqrt(np.maximum(s, 1e-8 * s[0] or 1))  # in equal parts, to train at one rate
        if np.less_equal(*self.matrix.shape):
            left, right = basis * root, (basis / root).T @ self.matrix
        else:
            left, right = self.matrix @ (basis / root), (basis * root).T
        (first, _), (second, _) = self.shapes(ranks)
        right = right.reshape(rank, *second[self.split : -2], self.filters)
        return [left.reshape(first), np.moveaxis(right, 0, -2).reshape(second)]


class _Tucker(_Chain):
    """Tucker-2 with ranks (of channels, of filters); a 1 x 1 layer of full rank is left out."""

    def __init__(self, kernel: Kernel, calls: Sequence):
        super().__init__(kernel, calls)
        self.full = (self.channels, self.filters)

    def shapes(self, ranks):
        ones = [1 for _ in self.sides]
        inner, outer = ranks
        chain = [((*self.sides, inner, outer), self.axes)]
        if inner < self.channels:
            chain.insert(0, ((*ones, self.channels, inner), ()))
        if outer < self.filters:
            chain.append(((*ones, outer, self.filters), ()))
        return chain

    @functools.cached_property
    def decomposition(self):
        """The left singular vectors and singular values of both unfoldings (HOSVD)."""
        unfolded = (np.moveaxis(self.array, axis, 0) for axis in (-2, -1))
        return [_left(array.reshape(len(array), -1)) for array in unfolded]

    @property
    def spectra(self):
        return [values for _, values in self.decomposition]

    def values(self, ranks):
        chain = self.shapes(ranks)
        core = self.array
        bases = [u[:, :rank] for (u, _), rank in zip(self.decomposition, ranks, strict=True)]
        found = []
        if ranks[0] < self.channels:
            core = np.moveaxis(np.tensordot(core, bases[0], (-2, 0)), -1, -2)
            found.append(bases[0].reshape(chain[0][0]))
        found.append(core)
        if ranks[1] < self.filters:
            found[-1] = np.tensordot(core, bases[1], (-1, 0))
            found.append(bases[1].T.reshape(chain[-1][0]))
        return found


def _spatial(kernel, calls):
    return _Svd(kernel, calls, min(1, len(kernel.variable.shape) - 2))


def _channel(kernel, calls):
    return _Svd(kernel, calls, len(kernel.variable.shape) - 2)


def _tucker(kernel, calls):
    is_matrix = math.prod(kernel.variable.shape[:-2]) == 1
    return _channel(kernel, calls) if is_matrix else _Tucker(kernel, calls)


SCHEMES = {"svd": _channel, "channel": _channel, "spatial": _spatial, "tucker": _tucker}


def _forms(model, scheme, layers) -> list[_Chain]:
    """Return the chains of the layers that can be factorized."""
    form = pick("scheme", scheme, SCHEMES)
    candidates = kernels(model, layers=layers)
    steps = opened(model).steps
    found = []
    for kernel in candidates:
        if _is_plain(kernel):
            found.append(form(kernel, _calls(steps, kernel.layer)))
        elif layers is not None:
            raise ValueError(
                "factorize takes dense layers and convolutions without groups; received "
                f"{kernel.step} ({type(kernel.layer).__name__})"
            )
    if not found:
        raise ValueError(f"{model.name} has no dense layer and no convolution without groups")
    return found


def _is_plain(kernel) -> bool:
    """Whether a kernel is all that its layer multiplies with; subclasses may do otherwise."""
    layer = kernel.layer
    if kernel.owner is not layer or getattr(layer, "lora_enabled", False):
        return False
    if type(layer) in CONVOLUTIONS:
        return layer.groups == 1 and layer.kernel_constraint is None
    return type(layer) is keras_layers.Dense and layer.kernel_constraint is None


def _calls(steps, layer) -> list[tuple[tuple, tuple]]:
    """Return the spatial sides of (input, output) of each call; unknown ones as if 1 came out."""
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    sides = slice(2, None) if channels_first else slice(1, -1)
    found = []
    for step in steps:
        if step.operation is layer:
            before, after = (value.shape[sides] for value in (step.inputs[0], step.outputs[0]))
            strides = getattr(layer, "strides", (1,) * len(before))
            known = tuple(n or stride for n, stride in zip(before, strides, strict=True))
            found.append((known, tuple(n or 1 for n in after)))
    return found


def _config(layer, name, kernel, axes, last) -> dict:
    """Return the config of a layer of the chain, which strides and dilates along `axes` only."""
    config = layer.get_config() | {"name": name}
    config["units" if isinstance(layer, keras_layers.Dense) else "filters"] = kernel.shape[-1]
    if not last:
        config |= {"use_bias": False, "activation": None, "activity_regularizer": None}
    if kernel.ndim > 2:
        config["kernel_size"] = kernel.shape[:-2]
        for key in ("strides", "dilation_rate"):
            config[key] = [n if i in axes else 1 for i, n in enumerate(config[key])]
    return config


def _left(matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the left singular vectors and singular values, largest first, of a wide matrix.

    The eigenvalues of the product in float64 are as exact as a decomposition in float32, and
    several times as fast.
    """
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    return vectors[:, ::-1], np.sqrt(np.maximum(values[::-1], 0))


def _rank_of(values, energy) -> int:
    """Return the smallest rank that keeps a share of the energy; at least 1."""
    squares = np.square(values, dtype="float64")
    kept = np.cumsum(squares) / (squares.sum() or 1.0)
    return min(int(np.searchsorted(kept, energy - ROUNDING)) + 1, len(values))


def _check_share(name, value: Any, limit) -> None:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1 or (value == 1 and limit != "up to 1"):
        raise ValueError(f"{name} must be greater than 0 {limit}; received {value!r}")


def _given_ranks(forms, rank, named) -> dict:
    """Return {form: ranks}; refuse what would grow if its layer is named, or if all would."""
    found = {}
    for form in forms:
        own = rank[form.kernel.step] if isinstance(rank, Mapping) else rank
        if isinstance(own, bool) or not isinstance(own, numbers.Integral) or own < 1:
            raise ValueError(f"a rank must be a whole number over 0; received {own!r}")
        if form.pays(form.clipped(own)):
            found[form] = form.clipped(own)
        elif named:
            raise ValueError(_too_high(form, own))
    if not found:
        raise ValueError(_too_high(max(forms, key=lambda form: form.break_even), rank))
    return found


def _too_high(form, rank) -> str:
    size = "larger" if rank > form.break_even else "no smaller"
    return f"rank {rank} of {form.kernel.step} would make it {size} (break-even {form.break_even})"


def _ranks_for(share, model, forms) -> dict:
    """Return {form: ranks} with at most a share of the model's multiply-accumulates."""
    graph = fixed_graph(model)
    chosen = {id(form.kernel.layer) for form in forms}
    others = sum(macs_of_step(step) for step in graph.steps if id(step.operation) not in chosen)
    whole = others + sum(form.own_cost[1] for form in forms)
    ranks = {form: form.full for form in forms}
    macs = {form: form.own_cost[1] for form in forms}
    cuts = []  # (order, form's number, mode, -rank): the loss only increases within a spectrum
    for number, form in enumerate(forms):
        for mode, values in enumerate(form.spectra):
            squares = np.square(values, dtype="float64")
            loss = squares / np.maximum(np.cumsum(squares), np.finfo("float64").tiny)
            saved = form.own_cost[1] / form.full[mode]
            cuts += [(loss[rank] / saved, number, mode, -rank) for rank in range(1, len(loss))]
    total = whole
    for _, number, mode, rank in sorted(cuts):
        if total <= share * whole:
            break
        form = forms[number]
        ranks[form] = (*ranks[form][:mode], -rank, *ranks[form][mode + 1 :])
        pays = form.pays(ranks[form])  # a layer that would grow is left as it is
        total -= macs[form]
        macs[form] = form.cost(ranks[form])[1] if pays else form.own_cost[1]
        total += macs[form]
    if total > share * whole:
        raise ValueError(
            f"macs={share} cannot be reached: rank 1 leaves {total / whole:.3f} of the "
            "multiply-accumulates"
        )
    return ranks
