"""What a network costs and sees: parameters, multiply-accumulates, activations, receptive field."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import keras
from keras import layers

from cvcourse.layers import SparseConv2D
from cvcourse.models.graph import operations
from cvcourse.models.registry import build
from cvcourse.settings import chosen_dtype_policy

WEIGHTED = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, SparseConv2D),
    layers.Dense,
)
GLOBAL_POOLS = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.AdaptiveAveragePooling2D,
)
POOLS = (layers.AveragePooling2D, layers.MaxPooling2D, *GLOBAL_POOLS)
KEPT = (layers.InputLayer, *WEIGHTED, *POOLS)
SEES_ALL = (layers.Flatten, *GLOBAL_POOLS)


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer; shapes without the batch, counts for one image.

    `activations` are the values it leaves in memory if it is an input, a convolution, a dense layer
    or a pool: what follows can be done in place. `receptive_field` is (height, width) in input
    pixels of what one output value sees, None for the whole image.
    """

    name: str
    kind: str
    output_shape: tuple
    parameters: int
    trainable: int
    macs: int
    activations: int
    receptive_field: tuple | None


class Cost(tuple):
    """The rows of a network, input first, and their sums."""

    parameters = property(lambda self: sum(row.parameters for row in self))
    trainable = property(lambda self: sum(row.trainable for row in self))
    macs = property(lambda self: sum(row.macs for row in self))
    activations = property(lambda self: sum(row.activations for row in self))


def cost(model, /, **settings):
    """What each layer of a functional keras.Model, or of the network of a name, costs: a Cost.

    `settings` are those of `build`; a network given by name costs no memory for its weights.
    Multiply-accumulates are those of convolutions and matrix products. Raises ValueError for what
    `build` refuses, and for a model whose input size is left open.

    >>> cost("vgg16").macs, cost("vgg16").activations
    (15470264320, 15237608)
    """
    if isinstance(model, str):
        # Keras keeps its list of variables that wait for their values by thread: this one's ends.
        # The dtype policy is kept so, too, and handed over.
        set_policy = keras.config.set_dtype_policy
        with ThreadPoolExecutor(
            1, initializer=set_policy, initargs=[chosen_dtype_policy()]
        ) as thread:
            return thread.submit(_outlined, model, settings).result()
    if any(None in tensor.shape[1:] for tensor in model.inputs):
        raise ValueError(
            f"{model.name} takes images of any size, whose cost differs: build it with input_shape"
        )
    rows, fields = [], {}
    for operation, inputs, outputs in operations(model):
        field = _field(operation, [fields[id(tensor)] for tensor in inputs])
        fields |= {id(tensor): field for tensor in outputs}
        if isinstance(operation, keras.Layer) or _macs(operation, inputs, outputs):
            rows.append(_row(operation, inputs, outputs, field))
    return Cost(rows)


def _outlined(name, settings):
    with keras.StatelessScope(initialize_variables=False):
        return cost(build(name, **settings))


def _row(operation, inputs, outputs, field):
    shape = tuple(outputs[0].shape[1:])
    weights, trained = (getattr(operation, w, ()) for w in ("weights", "trainable_weights"))
    return Row(
        name=operation.name,
        kind=type(operation).__name__,
        output_shape=shape,
        parameters=sum(math.prod(weight.shape) for weight in weights),
        trainable=sum(math.prod(weight.shape) for weight in trained),
        macs=_macs(operation, inputs, outputs),
        activations=math.prod(shape) if isinstance(operation, KEPT) else 0,
        receptive_field=field and field[0],
    )


def _macs(operation, inputs, outputs):
    """Multiply-accumulates of one operation for one image."""
    if isinstance(operation, keras.Model):
        return cost(operation).macs
    if isinstance(operation, WEIGHTED):  # its kernels, once for each place of the output
        kernels = [v for v in operation.weights if v.name.endswith("kernel")]
        return sum(math.prod(k.shape) for k in kernels) * math.prod(outputs[0].shape[1:-1])
    if type(operation).__name__ == "Matmul":
        return math.prod(outputs[0].shape[1:]) * inputs[0].shape[-1]
    return 0


def _field(operation, fields):
    """((height, width) of the receptive field, the step between two of them), or None for all."""
    if isinstance(operation, layers.InputLayer):
        return ((1, 1), (1, 1)) if len(operation.output.shape) == 4 else None
    if None in fields or isinstance(operation, SEES_ALL) or type(operation).__name__ == "Matmul":
        return None
    sizes, steps = zip(*fields, strict=True)
    size, step = [tuple(map(max, zip(*pairs, strict=True))) for pairs in (sizes, steps)]
    window = getattr(operation, "kernel_size", getattr(operation, "pool_size", (1, 1)))
    strides = getattr(operation, "strides", (1, 1))
    size = tuple(n + (k - 1) * s for n, k, s in zip(size, window, step, strict=True))
    return size, tuple(map(math.prod, zip(step, strides, strict=True)))
