"""Ensembles: nets that err in different places are right together; or their weights are averaged.

Probabilities: Hansen & Salamon, "Neural Network Ensembles", PAMI 1990,
https://doi.org/10.1109/34.58871. Weights: Izmailov et al., "Averaging Weights Leads to Wider Optima
and Better Generalization", UAI 2018, https://arxiv.org/abs/1803.05407.
"""

import keras
import numpy as np
from keras import layers, ops

from cvcourse.regularization import calibration
from cvcourse.regularization.weight_averaging import estimate_batch_norm
from cvcourse.saved_model import read_model


def ensemble(models, *, name="ensemble"):
    """One model that gives the mean of the members' softmax probabilities; members give logits.

    It shares the members' weights. Layer `member_probabilities` holds each one's answer,
    (batch, members, classes). To distill it, give Keras' Distiller, which wants logits, the teacher
    `keras.Model(model.input, keras.ops.log(model.output))`, and give its LogitsDistillation
    `loss=keras.losses.KLDivergence()`: the default, a string, forgets the softmax (Keras 3.15).

    Shapes: (batch, ...) -> (batch, classes), float32. Raises ValueError for no members, and for
    members whose inputs or outputs differ.
    """
    models = _alike(models)
    image = keras.Input(models[0].input_shape[1:], dtype=models[0].inputs[0].dtype, name="image")
    # Nets of one architecture bear one name, and a model takes each name once.
    members = [
        keras.Model(model.input, model.output, name=f"member{number}")
        for number, model in enumerate(models, start=1)
    ]
    logits = ops.stack([member(image) for member in members], axis=1)
    x = layers.Softmax(dtype="float32", name="member_probabilities")(logits)
    x = layers.GlobalAveragePooling1D(
        data_format="channels_last", dtype="float32", name="probabilities"
    )(x)
    return keras.Model(image, x, name=name)


def average_weights(models):
    """A new model with the mean of the weights of `models`, which are one net at several times.

    Batch norm's statistics are then nobody's: estimate them anew on training images, as section 3.2
    of Izmailov et al. does. Raises ValueError for no models, and for models of unlike weights.
    """
    models = _alike(models)
    shapes = [[tuple(weight.shape) for weight in model.weights] for model in models]
    if any(other != shapes[0] for other in shapes):
        raise ValueError(
            f"weights are averaged over one architecture; received {_names(models)}, "
            "whose weights have different shapes"
        )
    average = keras.models.clone_model(models[0])
    values = zip(*(model.get_weights() for model in models), strict=True)
    average.set_weights([np.mean(arrays, axis=0, dtype="float64") for arrays in values])
    return average


def average_saved(files, batches):
    """Average the weights of saved models, and estimate batch norm's statistics for the mean.

    Args:
        files: Paths of .keras files of one net at several times.
        batches: Training images (n, ...), or tuples that begin with them; passed in training mode.

    Returns:
        A new keras.Model.

    Raises:
        ValueError: As `average_weights`.
        RunError: If a file is damaged or no model.
    """
    return estimate_batch_norm(average_weights([read_model(file) for file in files]), batches)


def errors_of_first_k(ensembles, labels):
    """Compute the errors of the mean of the first k members' probabilities, for each k.

    Args:
        ensembles: Log-probabilities (members, n, classes) of each of some ensembles, such as those
            of several seeds.
        labels: Class numbers (n,).

    Returns:
        A list of as many shares of wrong answers, means over the ensembles, as there are members.
    """
    errors = [
        [
            1 - calibration.accuracy(calibration.log_mean(members[:k]), labels)
            for k in range(1, len(members) + 1)
        ]
        for members in ensembles
    ]
    return np.mean(errors, axis=0).tolist()


def _alike(models):
    """The models as a list. Raises ValueError where they do not take and give the same shapes."""
    models = list(models)
    if not models:
        raise ValueError("an average needs models; received none")
    shapes = [(model.input_shape, model.output_shape) for model in models]
    if any(other != shapes[0] for other in shapes) or len(models[0].output_shape) != 2:
        raise ValueError(
            "members take the same input and give (batch, classes); received "
            + ", ".join(f"{m.name}: {i} -> {o}" for m, (i, o) in zip(models, shapes, strict=True))
        )
    return models


def _names(models):
    return ", ".join(model.name for model in models)
