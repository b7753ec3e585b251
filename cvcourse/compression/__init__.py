"""Techniques that make networks smaller, one a file."""

from cvcourse.compression.kernel_wrapper import bake

__all__ = ["bake"]
