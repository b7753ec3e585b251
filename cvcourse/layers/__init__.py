"""Layers that Keras lacks or runs slowly; importing the package registers them for `load_model`."""

import sys

from cvcourse.layers._scaled_tanh import scaled_tanh
from cvcourse.layers.adaptive_average_pooling import AdaptiveAveragePooling2D
from cvcourse.layers.average_pooling import AveragePooling2D
from cvcourse.layers.batch_normalization import BatchNormalization
from cvcourse.layers.channel_shuffle import ChannelShuffle
from cvcourse.layers.cutout import Cutout
from cvcourse.layers.depthwise_conv import DepthwiseConv2D
from cvcourse.layers.drop_connect import DropConnect
from cvcourse.layers.drop_path import DropPath, ScheduledDropPath
from cvcourse.layers.fractal_join import ColumnDraw, FractalJoin
from cvcourse.layers.fractional_max_pooling import FractionalMaxPooling2D
from cvcourse.layers.grouped_conv import GroupedConv2D
from cvcourse.layers.layer_scale import LayerScale
from cvcourse.layers.local_response_norm import LocalResponseNorm
from cvcourse.layers.maxout import Maxout
from cvcourse.layers.mean_image import MeanImage
from cvcourse.layers.nearest_neighbors import NearestNeighbors
from cvcourse.layers.pad_to import PadTo
from cvcourse.layers.pca_color import PCAColor
from cvcourse.layers.radial_basis import RadialBasis
from cvcourse.layers.sparse_conv import SparseConv2D
from cvcourse.layers.transformer import (
    AttentionWeights,
    ClassToken,
    GlobalAveragePooling1D,
    PositionEmbedding,
)
from cvcourse.layers.whitening import Whitening

__all__ = [
    "AdaptiveAveragePooling2D",
    "AttentionWeights",
    "AveragePooling2D",
    "BatchNormalization",
    "ChannelShuffle",
    "ClassToken",
    "ColumnDraw",
    "Cutout",
    "DepthwiseConv2D",
    "DropConnect",
    "DropPath",
    "FractalJoin",
    "FractionalMaxPooling2D",
    "GlobalAveragePooling1D",
    "GroupedConv2D",
    "LayerScale",
    "LocalResponseNorm",
    "Maxout",
    "MeanImage",
    "NearestNeighbors",
    "PCAColor",
    "PadTo",
    "PositionEmbedding",
    "RadialBasis",
    "ScheduledDropPath",
    "SparseConv2D",
    "Whitening",
    "scaled_tanh",
]

# Keras traverses a graph recursively, with about one call per layer; resnet1202 has 4,300 layers.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))
