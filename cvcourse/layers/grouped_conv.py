"""Grouped convolution: each group of output channels sees its own group of input channels.

Krizhevsky et al. 2012 (two groups, one a GPU); Xie et al. 2017 (many thin ones).
"""

import keras


@keras.saving.register_keras_serializable("cvcourse")
class GroupedConv2D(keras.layers.Conv2D):
    """Keras' Conv2D with `groups`, through TensorFlow's own grouped kernel: same weights, results.

    Keras on TensorFlow sends a grouped convolution through XLA, whose CPU code for the gradient is
    slow: a training step of 32 groups of 4 channels (16 maps of 28x28, 3x3, 2 cores) took 18 ms
    with TensorFlow's kernel, 39 ms as 32 convolutions side by side, 5,954 ms with Keras' layer.
    Other backends take Keras' path.

    Shapes: (batch, h, w, c) -> (batch, h', w', filters); kernel (kh, kw, c / groups, filters).
    """

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf  # a backend switch, as in batch_normalization.py

        return tf.nn.conv2d(
            inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
        )
