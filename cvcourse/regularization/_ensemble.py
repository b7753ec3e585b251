"""Ensembles of nets, by the mean of their probabilities or by the mean of their weights.

Probabilities: Hansen & Salamon, "Neural Network Ensembles", PAMI 1990,
https://doi.org/10.1109/34.58871. Weights: Izmailov et al., "Averaging Weights Leads to Wider Optima
and Better Generalization", UAI 2018, https://arxiv.org/abs/1803.05407.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cvcourse.regularization import calibration
from cvcourse.regularization.weight_averaging import estimate_batch_norm
from cvcourse.saved_model import read_model


def ensemble(models: Iterable[keras.Model], *, name: str = "ensemble") -> keras.Model:
    """Build a model that averages the softmax probabilities of several models.

    It shares the members' weights. Its layer `member_probabilities` has the probabilities of each
    member, (batch, members, classes). To distill it, pass the teacher
    `keras.Model(model.input, keras.ops.log(model.output))` to Keras' Distiller, which expects
    logits, and pass `loss=keras.losses.KLDivergence()` to its LogitsDistillation: the default, a
    string, applies no softmax (Keras 3.15).

    Args:
        models: The members: models with logits as outputs, and the same input and output shapes.
        name: Name of the model.

    Returns:
        A keras.Model: (batch, ...) -> probabilities (batch, classes), float32.

    Raises:
        ValueError: If there are no members, or their inputs or outputs differ.

    >>> nets = [keras.Sequential([keras.Input((4,)), layers.Dense(3)]) for _ in range(2)]
    >>> round(float(ensemble(nets)(np.ones((1, 4)))[0].numpy().sum()), 3)
    1.0
    """
    members = _require_same_shapes(models)
    like = members[0].inputs[0]
    image = keras.Input(like.shape[1:], dtype=like.dtype, name="image")
    # Nets of one architecture have the same name, and names in a model must be unique.
    renamed = [
        keras.Model(member.inputs[0], member.outputs[0], name=f"member{number}")
        for number, member in enumerate(members, start=1)
    ]
    logits = ops.stack([member(image) for member in renamed], axis=1)
    x = layers.Softmax(dtype="float32", name="member_probabilities")(logits)
    x = layers.GlobalAveragePooling1D(
        data_format="channels_last", dtype="float32", name="probabilities"
    )(x)
    return keras.Model(image, x, name=name)


def average_weights(models: Iterable[keras.Model]) -> keras.Model:
    """Build a model with the mean of the weights of several models.

    The mean of batch-norm statistics does not fit the mean of the weights: estimate the statistics
    again on training images by `estimate_batch_norm`, as in section 3.2 of Izmailov et al.

    Args:
        models: One net at several times of its training.

    Returns:
        A new keras.Model.

    Raises:
        ValueError: If there are no models, or the shapes of their weights differ.

    >>> nets = [keras.Sequential([keras.Input((4,)), layers.Dense(3)]) for _ in range(2)]
    >>> first, second, mean = (net.get_weights()[0] for net in (*nets, average_weights(nets)))
    >>> np.allclose(mean, (first + second) / 2)
    True
    """
    members = _require_same_shapes(models)
    shapes = [[tuple(weight.shape) for weight in member.weights] for member in members]
    if any(other != shapes[0] for other in shapes):
        raise ValueError(
            f"weights are averaged over one architecture; received {_names(members)}, "
            "whose weights have different shapes"
        )
    average = keras.models.clone_model(members[0])
    values = zip(*(member.get_weights() for member in members), strict=True)
    average.set_weights([np.mean(arrays, axis=0, dtype="float64") for arrays in values])
    return average


def average_saved(files: Iterable, batches: Iterable) -> keras.Model:
    """Average the weights of saved models, and estimate batch-norm statistics for the mean.

    Args:
        files: Paths of .keras files of one net at several times of its training.
        batches: Training images (n, ...), or tuples that begin with them.

    Returns:
        A new keras.Model.

    Raises:
        ValueError: As `average_weights`.
        RunError: If a file is damaged or is not a model.

    >>> import pathlib, tempfile
    >>> net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "epoch1.keras")
    ...     net.save(path)
    ...     average_saved([path], batches=[]).count_params()
    15
    """
    return estimate_batch_norm(average_weights([read_model(file) for file in files]), batches)


def errors_of_first_k(ensembles: Sequence[Any], labels: np.ndarray) -> list[float]:
    """Compute the error of the first k members of ensembles, for each k.

    Args:
        ensembles: Log-probabilities (members, n, classes) of each of some ensembles, such as those
            of several seeds.
        labels: Class numbers (n,).

    Returns:
        A list of shares of wrong answers, one for each k, means over the ensembles.
    """
    errors = [
        [
            1 - calibration.accuracy(calibration.log_mean(members[:k]), labels)
            for k in range(1, len(members) + 1)
        ]
        for members in ensembles
    ]
    return np.mean(errors, axis=0).tolist()


def _require_same_shapes(models):
    """Return the models as a list. Raises ValueError if their inputs or outputs differ."""
    models = list(models)
    if not models:
        raise ValueError("an average needs at least one model; received none")
    shapes = [(model.input_shape, model.output_shape) for model in models]
    if any(other != shapes[0] for other in shapes) or len(models[0].output_shape) != 2:
        raise ValueError(
            "members need the same input shape, and outputs (batch, classes); received "
            + ", ".join(f"{m.name}: {i} -> {o}" for m, (i, o) in zip(models, shapes, strict=True))
        )
    return models


def _names(models):
    return ", ".join(model.name for model in models)
