"""Roofline: the speed that a layer can reach, by its operations per byte.

Williams, Waterman & Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", Communications of the ACM 2009, https://doi.org/10.1145/1498765.1498785.
"""

import dataclasses

import keras

from cvcourse.compression.traffic import traffic


@dataclasses.dataclass(frozen=True)
class LayerRoofline:
    """Bound on the speed of one layer.

    Attributes:
        name: Name of the layer.
        kind: Class of the layer.
        macs: Multiply-accumulates of a batch.
        bytes: Bytes of a batch: weights, inputs and outputs, each once.
        intensity: Operations per byte; a multiply-accumulate is two operations.
        attainable: Operations per second: min(peak, bandwidth * intensity).
        bound: "memory" if the bandwidth limits the speed, else "compute".
        seconds: Least seconds for a batch.
    """

    name: str
    kind: str
    macs: int
    bytes: float
    intensity: float
    attainable: float
    bound: str
    seconds: float


def roofline(
    model: keras.Model, *, peak: float, bandwidth: float, batch_size: int = 1, bits: int = 32
) -> list[LayerRoofline]:
    """Compute whether memory or arithmetic bounds the speed of each layer.

    Each layer reads its weights and inputs from memory and writes its outputs, once each. Layers
    that can work in place, such as batch normalization, only read their weights.

    Args:
        model: Functional or Sequential keras.Model of inputs of known size.
        peak: Operations per second of the hardware, at this number of bits; a multiply-accumulate
            is two.
        bandwidth: Bytes per second between memory and arithmetic.
        batch_size: Number of images that share a weight.
        bits: Bits of weights and activations.

    Returns:
        A LayerRoofline for each layer with weights, multiply-accumulates or a pool, in order.

    Raises:
        ValueError: For a model without a known graph or of images of any size, and for numbers that
            are not positive.

    >>> net = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(1000, use_bias=False)])
    >>> for batch_size in (1, 1000):
    ...     [dense] = roofline(net, peak=1e12, bandwidth=1e11, batch_size=batch_size)
    ...     print(round(dense.intensity, 1), dense.bound)
    0.5 memory
    166.7 compute
    """
    given = {"peak": peak, "bandwidth": bandwidth, "batch_size": batch_size, "bits": bits}
    for name, value in given.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive; received {value}")
    rows = []
    for row in traffic(model):
        size = (row.weights + batch_size * row.activations) * bits / 8
        operations = 2 * batch_size * row.macs
        intensity = operations / size
        slope = bandwidth * intensity
        rows.append(
            LayerRoofline(
                name=row.name,
                kind=row.kind,
                macs=batch_size * row.macs,
                bytes=size,
                intensity=intensity,
                attainable=min(peak, slope),
                bound="memory" if slope < peak else "compute",
                seconds=max(size / bandwidth, operations / peak),
            )
        )
    return rows
