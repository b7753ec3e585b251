"""The course's two losses for scores: softmax cross-entropy, and the multiclass SVM loss.

Weston & Watkins, "Multi-Class Support Vector Machines", 1998; CS231n notes, linear-classify,
https://cs231n.github.io/linear-classify. Keras' CategoricalHinge counts only the worst class.
"""

from functools import partial
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class MulticlassSVM(keras.losses.Loss):
    """Multiclass SVM loss: sum over the wrong classes j of max(0, s_j - s_y + margin).

    Shapes: class numbers (n,), scores (n, classes) -> (), a mean over examples.

    Args:
        margin: Amount by which the score of the true class should exceed every other score.
        name: Name of the loss.
        **kwargs: Arguments of keras.losses.Loss.

    >>> import numpy as np
    >>> loss = MulticlassSVM()
    >>> round(float(loss(np.array([0]), np.array([[3.2, 5.1, -1.7]]))), 2)  # the course's cat
    2.9
    """

    def __init__(self, margin: float = 1.0, name: str = "multiclass_svm", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.margin = margin

    def call(self, y_true, y_pred):
        labels = ops.reshape(ops.cast(y_true, "int32"), ops.shape(y_pred)[:-1])
        right = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
        score = ops.sum(right * y_pred, axis=-1, keepdims=True)
        return ops.sum((1 - right) * ops.relu(y_pred - score + self.margin), axis=-1)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


LOSSES = {  # name: (**arguments of keras.losses.Loss) -> loss of class numbers and scores
    "softmax": partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True),
    "hinge": MulticlassSVM,
}
