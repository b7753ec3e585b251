"""Techniques that make networks smaller, one a file."""

from cvcourse.compression import compressed_file, huffman
from cvcourse.compression._energy import energy
from cvcourse.compression._roofline import roofline
from cvcourse.compression.dense_sparse_dense import DenseSparseDense
from cvcourse.compression.filter_pruning import (
    FilterGroup,
    filter_groups,
    prune_filters,
    zero_filters,
)
from cvcourse.compression.kernel_wrapper import bake
from cvcourse.compression.pruning import (
    MagnitudePruning,
    cubic_density,
    density,
    magnitude_masks,
    prune,
)
from cvcourse.compression.weight_sharing import kmeans, share_weights

__all__ = [
    "DenseSparseDense",
    "FilterGroup",
    "MagnitudePruning",
    "bake",
    "compressed_file",
    "cubic_density",
    "density",
    "energy",
    "filter_groups",
    "huffman",
    "kmeans",
    "magnitude_masks",
    "prune",
    "prune_filters",
    "roofline",
    "share_weights",
    "zero_filters",
]
