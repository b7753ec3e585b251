"""Energy of a network by layer: arithmetic, and access to weights and activations.

Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9,
https://doi.org/10.1109/ISSCC.2014.6757323; the 32-bit values are also in Han et al. 2015, figure 1,
https://arxiv.org/abs/1506.02626.
"""

import dataclasses

import keras

from cvcourse.compression.traffic import traffic
from cvcourse.errors import pick

# Picojoules in 45 nm at 0.9 V.
ARITHMETIC = {32: (3.7, 0.9), 16: (1.1, 0.4), 8: (0.2, 0.03)}  # (MULT, ADD): floats, 8-bit integers
ACCESS = {"dram": 640.0, "sram": 5.0}  # 32 bits; SRAM: a cache of 8 KB
PICO = 1e-12


@dataclasses.dataclass(frozen=True)
class LayerEnergy:
    """Energy of one layer for one image, in joules.

    Attributes:
        name: Name of the layer.
        kind: Class of the layer.
        macs: Multiply-accumulates.
        weights: Number of weights.
        activations: Number of activations that are read and written.
        multiply: Energy of the multiplications.
        add: Energy of the additions.
        weight_access: Energy of fetching the weights.
        activation_access: Energy of reading and writing activations.
    """

    name: str
    kind: str
    macs: int
    weights: int
    activations: int
    multiply: float
    add: float
    weight_access: float
    activation_access: float

    @property
    def total(self) -> float:
        """Sum of the four energies in joules."""
        return self.multiply + self.add + self.weight_access + self.activation_access


def energy(
    model: keras.Model,
    *,
    weights_in: str = "dram",
    activations_in: str = "sram",
    bits: int = 32,
    batch_size: int = 1,
) -> list[LayerEnergy]:
    """Estimate the energy of a forward pass by layer.

    Each weight is fetched once for a batch. A convolution, dense layer, matrix product or pool
    reads its inputs and writes its outputs once; other layers work on these values in place, and
    their arithmetic is not counted. Additions have the width of the multiplications, although
    hardware adds 8-bit products in 32 bits.

    Args:
        model: Functional or Sequential keras.Model of inputs of known size.
        weights_in: Memory of the weights: dram (640 pJ for 32 bits), or sram (5 pJ), a cache of
            8 KB.
        activations_in: Memory of the activations, likewise.
        bits: Bits of weights and activations: 32 or 16 (floats), or 8 (integers).
        batch_size: Number of images for which a weight is fetched once.

    Returns:
        A LayerEnergy for each layer with weights, multiply-accumulates or a pool, in order. The
        sums of macs and, without shared layers, weights are those of `models.cost`.

    Raises:
        ValueError: For a model without a known graph or of images of any size, and for unknown
            values of the other arguments.

    >>> net = keras.Sequential([keras.Input((100,)), keras.layers.Dense(10, use_bias=False)])
    >>> [dense] = energy(net)
    >>> round(dense.weight_access * 1e9), round(dense.total / dense.weight_access, 3)  # nanojoules
    (640, 1.008)
    """
    multiply, add = (PICO * picojoules for picojoules in pick("bits", bits, ARITHMETIC))
    weight, activation = (
        PICO * pick("memory", place, ACCESS) * bits / 32 for place in (weights_in, activations_in)
    )
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; received {batch_size}")
    return [
        LayerEnergy(
            name=row.name,
            kind=row.kind,
            macs=row.macs,
            weights=row.weights,
            activations=row.activations,
            multiply=row.macs * multiply,
            add=row.macs * add,
            weight_access=row.weights * weight / batch_size,
            activation_access=row.activations * activation,
        )
        for row in traffic(model)
    ]
