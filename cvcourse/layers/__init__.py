"""What Keras lacks, or runs slowly; importing this package lets `load_model` find its layers."""

from cvcourse.layers.batch_normalization import BatchNormalization
from cvcourse.layers.grouped_conv import GroupedConv2D

__all__ = ["BatchNormalization", "GroupedConv2D"]
