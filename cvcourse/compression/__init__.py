"""Techniques that make networks smaller, one a file."""

from cvcourse.compression import compressed_file, huffman
from cvcourse.compression.kernel_wrapper import bake

__all__ = ["bake", "compressed_file", "huffman"]
