"""Techniques that make networks smaller, one a file."""

from cvcourse.compression import compressed_file, huffman
from cvcourse.compression._energy import energy
from cvcourse.compression._roofline import roofline
from cvcourse.compression.filter_pruning import (
    FilterGroup,
    filter_groups,
    prune_filters,
    zero_filters,
)
from cvcourse.compression.kernel_wrapper import bake

__all__ = [
    "FilterGroup",
    "bake",
    "compressed_file",
    "energy",
    "filter_groups",
    "huffman",
    "prune_filters",
    "roofline",
    "zero_filters",
]
