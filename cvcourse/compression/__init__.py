"""Techniques that make networks smaller, one a file."""

from cvcourse.compression import (
    compressed_file,
    huffman,
)
from cvcourse.compression.binary import (
    binarize,
)
from cvcourse.compression.kernel_wrapper import (
    bake,
)
from cvcourse.compression.ternary import (
    ternarize,
)

__all__ = [
    "bake",
    "binarize",
    "compressed_file",
    "huffman",
    "ternarize",
]
