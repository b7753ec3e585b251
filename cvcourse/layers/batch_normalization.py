"""Batch normalization by TensorFlow's fused kernel: Keras' layer, faster.

Ioffe & Szegedy, "Batch Normalization", ICML 2015, https://arxiv.org/abs/1502.03167.
"""

from typing import Any

import keras
from keras import ops

from cvcourse.layers.replicas import mean_over_replicas, replica_context

FUSED_DTYPES = ("float32", "float16", "bfloat16")


@keras.saving.register_keras_serializable("cvcourse")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' BatchNormalization, with its arguments, weights, config and results.

    Keras on TensorFlow computes moments and then normalizes, in several passes over the map; the
    fused kernel needs one. It is used for (batch, h, w, c) maps normalized over the last axis; in
    all other cases (masks, synchronization, float64, other ranks, axes and backends) Keras' code
    runs. Under a tf.distribute strategy of several replicas the layer is synchronized: the moments
    are those of the whole batch, as on one device.

    Args:
        axis: Axis that is normalized, usually the channels.
        momentum: Momentum of the moving averages.
        epsilon: Small number added to the variance.
        **kwargs: See keras.layers.BatchNormalization.

    Shapes:
        (batch, h, w, c) -> (batch, h, w, c)

    >>> layer = BatchNormalization(epsilon=0)
    >>> layer(ops.reshape([1.0, 3.0], (2, 1, 1, 1)), training=True)[:, 0, 0, 0].numpy().tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs: Any
    ):
        super().__init__(axis, momentum, epsilon, **kwargs)

    def call(self, inputs, training=None, mask=None):
        training = bool(training) and self.trainable
        if not self._can_fuse(inputs, mask) or (training and replica_context()):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf  # the one backend switch in layers

        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.cast(self.gamma, "float32") if self.scale else tf.ones([channels]),
            offset=ops.cast(self.beta, "float32") if self.center else tf.zeros([channels]),
            mean=[] if training else ops.cast(self.moving_mean, "float32"),
            variance=[] if training else ops.cast(self.moving_variance, "float32"),
            epsilon=self.epsilon,  # tf.nn's wrapper would raise it to 1.001e-5
            is_training=training,
        )
        if training:
            # The kernel returns the unbiased variance, which torch stores; Keras stores the biased.
            n = ops.cast(ops.size(inputs) // channels, "float32")
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance * ((n - 1) / n))
        return outputs

    def _moments(self, inputs, mask):
        if mask is not None or not replica_context():
            return super()._moments(inputs, mask)
        import tensorflow as tf

        # Keras computes E[x^2] - E[x]^2 over all replicas, which loses digits. This is Chan et al.
        # 1979, eq. 2.1.
        mean, variance = tf.nn.moments(ops.cast(inputs, "float32"), self._reduction_axes)
        mean, own = mean_over_replicas(mean), mean
        variance = mean_over_replicas(variance + tf.square(own - mean))
        return ops.cast(mean, inputs.dtype), ops.cast(variance, inputs.dtype)

    def _move(self, average, value):
        average.assign(average * self.momentum + value * (1 - self.momentum))

    def _can_fuse(self, inputs, mask):
        return (
            keras.backend.backend() == "tensorflow"
            and mask is None
            and not self.synchronized
            and not getattr(self, "renorm", False)  # an argument since Keras 3.14
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and 0 not in inputs.shape
            and keras.backend.standardize_dtype(inputs.dtype) in FUSED_DTYPES
        )
