"""The course's two losses of scores: cross-entropy of their softmax, and the multiclass SVM hinge.

Weston & Watkins, "Multi-Class Support Vector Machines", 1998; CS231n notes, linear-classify,
https://cs231n.github.io/linear-classify. Keras' CategoricalHinge counts the worst class alone.
"""

from functools import partial

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class MulticlassSVM(keras.losses.Loss):
    """The sum over the wrong classes j of max(0, s_j - s_y + margin), a mean over examples.

    Shapes: class numbers (n,), scores (n, classes) -> ().
    """

    def __init__(self, margin=1.0, name="multiclass_svm", **kwargs):
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
