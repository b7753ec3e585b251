"""Techniques that make networks smaller, one a file."""

from cvcourse.compression.kernel_wrapper import bake
from cvcourse.compression.quantization import (
    FakeQuant,
    calibrate,
    fold_batch_norm,
    quantization_aware,
    quantized_bytes,
)

__all__ = [
    "FakeQuant",
    "bake",
    "calibrate",
    "fold_batch_norm",
    "quantization_aware",
    "quantized_bytes",
]
