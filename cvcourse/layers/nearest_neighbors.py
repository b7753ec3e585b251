"""Nearest neighbors as a layer: a vector has the class that most of the vectors closest to it have.

The course's first classifier; closeness is the cosine, which suits a network's features.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class NearestNeighbors(keras.layers.Layer):
    """The log of the classes' shares among the `neighbors` nearest of `count` known vectors.

    Shapes: (batch, c) -> (batch, num_classes); every class counts half a vote more, so none has
    probability 0. Weights, not trained: `vectors` (count, c) of length 1, `votes` (count,
    num_classes) one-hot.
    """

    def __init__(self, neighbors, count, num_classes, **kwargs):
        super().__init__(**{"trainable": False, "dtype": "float32", **kwargs})
        self.neighbors, self.count, self.num_classes = neighbors, count, num_classes

    def build(self, input_shape):
        known = {"initializer": "zeros", "trainable": False}
        self.vectors = self.add_weight((self.count, input_shape[-1]), name="vectors", **known)
        self.votes = self.add_weight((self.count, self.num_classes), name="votes", **known)

    def call(self, inputs):
        similarity = ops.matmul(ops.normalize(inputs, axis=-1), ops.transpose(self.vectors))
        _, nearest = ops.top_k(similarity, self.neighbors)
        votes = ops.sum(ops.take(self.votes, nearest, axis=0), axis=1)
        return ops.log((votes + 0.5) / (self.neighbors + 0.5 * self.num_classes))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)
