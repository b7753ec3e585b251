"""Techniques that make networks smaller, one a file.

Importing this package registers their layers, so that keras.saving.load_model finds them.
"""

from cvcourse.compression import compressed_file, huffman
from cvcourse.compression._deployable import deployable
from cvcourse.compression._energy import energy
from cvcourse.compression._roofline import roofline
from cvcourse.compression.binary import binarize
from cvcourse.compression.dense_sparse_dense import DenseSparseDense
from cvcourse.compression.deployment import export
from cvcourse.compression.filter_pruning import (
    FilterGroup,
    filter_groups,
    prune_filters,
    zero_filters,
)
from cvcourse.compression.kernel_wrapper import bake
from cvcourse.compression.low_rank import factorize, spectrum
from cvcourse.compression.pruning import (
    MagnitudePruning,
    cubic_density,
    density,
    magnitude_masks,
    prune,
)
from cvcourse.compression.quantization import (
    FakeQuant,
    calibrate,
    fold_batch_norm,
    quantization_aware,
    quantized_bytes,
)
from cvcourse.compression.ternary import ternarize
from cvcourse.compression.weight_sharing import kmeans, share_weights

__all__ = [
    "DenseSparseDense",
    "FakeQuant",
    "FilterGroup",
    "MagnitudePruning",
    "bake",
    "binarize",
    "calibrate",
    "compressed_file",
    "cubic_density",
    "density",
    "deployable",
    "energy",
    "export",
    "factorize",
    "filter_groups",
    "fold_batch_norm",
    "huffman",
    "kmeans",
    "magnitude_masks",
    "prune",
    "prune_filters",
    "quantization_aware",
    "quantized_bytes",
    "roofline",
    "share_weights",
    "spectrum",
    "ternarize",
    "zero_filters",
]
