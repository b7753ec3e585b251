"""The multiclass SVM loss against NumPy; test_course_fixtures.py has the course's own numbers."""

import keras
import numpy as np
import pytest
from cvcourse.recipes import train

from cvcourse import optimization


def svm(labels, scores, margin=1.0):
    """A row an example."""
    rows = np.arange(len(labels))
    margins = np.maximum(0, scores - scores[rows, labels][:, None] + margin)
    margins[rows, labels] = 0
    return margins.sum(1)


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_multiclass_svm_is_its_formula(shape):
    rng = np.random.default_rng(0)
    scores, labels = 3 * rng.normal(size=(40, 7)), rng.integers(0, 7, 40)
    each = optimization.MulticlassSVM(0.5, reduction=None, dtype="float64")
    np.testing.assert_allclose(each(labels.reshape(shape), scores), svm(labels, scores, 0.5))


def test_multiclass_svm_pushes_a_class_for_each_margin_it_breaks():
    """The gradient: 1 for a wrong class within the margin, minus their number for the right one."""
    import tensorflow as tf

    scores, labels = 2 * np.random.default_rng(1).normal(size=(9, 5)), np.arange(9) % 5
    x = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = optimization.MulticlassSVM(reduction="sum", dtype="float64")(labels, x)
    broken = (scores - scores[range(9), labels][:, None] + 1 > 0).astype(float)
    broken[range(9), labels] = 0
    broken[range(9), labels] = -broken.sum(1)
    np.testing.assert_array_equal(tape.gradient(total, x), broken)


def test_multiclass_svm_is_saved_with_its_margin():
    saved = keras.losses.serialize(optimization.MulticlassSVM(3.0))
    assert float(keras.losses.deserialize(saved)(np.array([0]), np.zeros((1, 4)))) == 9


def test_train_s_losses_are_these():
    choices = train.Config.__dataclass_fields__["loss"].metadata["choices"]
    assert set(choices) == set(optimization.LOSSES)
