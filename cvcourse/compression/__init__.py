"""Techniques that make networks smaller, one a file."""

from cvcourse.compression._energy import energy
from cvcourse.compression._roofline import roofline
from cvcourse.compression.kernel_wrapper import bake
from cvcourse.compression.low_rank import factorize, spectrum

__all__ = ["bake", "energy", "factorize", "roofline", "spectrum"]
