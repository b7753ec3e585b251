"""Techniques that make networks smaller, one a file."""

from cvcourse.compression.filter_pruning import (
    FilterGroup,
    filter_groups,
    prune_filters,
    zero_filters,
)
from cvcourse.compression.kernel_wrapper import bake

__all__ = ["FilterGroup", "bake", "filter_groups", "prune_filters", "zero_filters"]
