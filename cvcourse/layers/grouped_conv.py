"""Grouped convolution: each group of output channels is computed from one group of input channels.

Krizhevsky et al. 2012 (two groups, one per GPU); Xie et al. 2017 (many thin groups).
"""

import functools
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class GroupedConv2D(keras.layers.Conv2D):
    """Keras' Conv2D with `groups`, computed by TensorFlow's grouped kernel with equal results.

    Keras on TensorFlow compiles a grouped convolution with XLA, whose CPU code for the gradient is
    slow: a training step of 32 groups of 4 channels (16 maps of 28x28, 3x3, 2 cores) took 18 ms
    with TensorFlow's kernel, 39 ms as 32 separate convolutions, 5,954 ms with Keras' layer. If the
    kernel has no gradient (float16 on a CPU, TensorFlow without oneDNN), separate convolutions are
    used. On other backends, Keras' code runs.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel, a number or a pair.
        strides: Strides, a number or a pair.
        padding: "valid" or "same".
        data_format: "channels_last".
        **settings: See keras.layers.Conv2D, including `groups`.

    Shapes:
        (batch, h, w, c) -> (batch, h', w', filters); kernel (kh, kw, c / groups, filters)

    >>> layer = GroupedConv2D(6, 3, groups=2)
    >>> tuple(layer(ops.ones((1, 5, 5, 4))).shape), tuple(layer.kernel.shape)
    ((1, 3, 3, 6), (3, 3, 2, 6))
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str = "channels_last",
        **settings: Any,
    ):
        super().__init__(filters, kernel_size, strides, padding, data_format, **settings)

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        if not _has_gradient(keras.backend.standardize_dtype(inputs.dtype)):
            pairs = zip(
                ops.split(inputs, self.groups, axis=-1),
                ops.split(kernel, self.groups, axis=-1),
                strict=True,
            )
            convolve = super().convolution_op
            return ops.concatenate([convolve(x, part) for x, part in pairs], axis=-1)
        import tensorflow as tf  # a backend switch, as in batch_normalization.py

        return tf.nn.conv2d(
            inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
        )


@functools.cache
def _has_gradient(dtype):
    """Check once whether TensorFlow's grouped kernel has a gradient on this machine."""
    import tensorflow as tf

    with tf.init_scope():  # runs now, outside a graph that is being traced
        image, filters = tf.ones((1, 2, 2, 4), dtype), tf.ones((1, 1, 2, 4), dtype)
        try:
            tf.raw_ops.Conv2DBackpropFilter(
                input=image,
                filter_sizes=filters.shape,
                out_backprop=image,
                strides=(1, 1, 1, 1),
                padding="VALID",
            )
        except tf.errors.OpError:
            return False
    return True
