"""Nearest neighbors as a layer: classify a vector by a vote of the known vectors closest to it.

The course's first classifier, with cosine similarity, which suits a network's features.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class NearestNeighbors(keras.layers.Layer):
    """Compute the log of each class's share among the nearest known vectors.

    Half a vote is added to every class, so that none has probability 0. The weights, which are not
    trained, are `vectors` (count, c) of length 1 and `votes` (count, num_classes), one-hot.

    Args:
        neighbors: Number of nearest vectors that vote.
        count: Number of known vectors.
        num_classes: Number of classes.
        **kwargs: See keras.layers.Layer; by default trainable is False and dtype float32.

    Shapes:
        (batch, c) -> (batch, num_classes)

    >>> layer = NearestNeighbors(1, count=2, num_classes=2)
    >>> layer.build((None, 2))
    >>> layer.set_weights([ops.eye(2), ops.eye(2)])
    >>> ops.exp(layer(ops.convert_to_tensor([[5.0, 1.0]]))).numpy().round(4).tolist()
    [[0.75, 0.25]]
    """

    def __init__(self, neighbors: int, count: int, num_classes: int, **kwargs: Any):
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
