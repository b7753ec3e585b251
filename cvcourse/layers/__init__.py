"""What Keras lacks, or runs slowly; importing this package lets `load_model` find its layers."""

from cvcourse.layers.batch_normalization import BatchNormalization

__all__ = ["BatchNormalization"]
