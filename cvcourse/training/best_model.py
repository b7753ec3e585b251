"""The best epoch's model as a .keras file: from raw images to logits, with the class names."""

import json
import os
import pathlib
import zipfile
from collections.abc import Sequence

import keras

from cvcourse import distribution
from cvcourse.compression import compressed_file
from cvcourse.errors import RunError
from cvcourse.files import replacing
from cvcourse.saved_model import CLASS_NAMES, read_class_names, read_named_model
from cvcourse.sequence.registry import SequenceModel

WANTED = "give the model.keras of a finished run"


class BestModel(keras.callbacks.Callback):
    """Callback that saves the model after each epoch that is the best one so far.

    Args:
        path: Path of the .keras file, as a pathlib.Path.
        early_stopping: keras.callbacks.EarlyStopping, before this one in the list of callbacks; it
            decides which epoch is the best.
        class_names: Names of the classes.
        other: Model to save instead, with the same layers, for other inputs.
    """

    def __init__(self, path, early_stopping, class_names, other=None):
        super().__init__()
        self.path, self.early_stopping, self.class_names = path, early_stopping, class_names
        self.other = other

    def on_epoch_end(self, epoch, logs=None):
        if self.early_stopping.best_epoch == epoch:
            save_model(self.other or self.model, self.path, self.class_names)


def save_model(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str],
    *,
    from_logits: bool = True,
) -> None:
    """Save a model with the names of its classes, compiled for `evaluate`, atomically.

    The optimizer is not saved. `keras.saving.load_model(path)` needs `import cvcourse.layers` at
    most, for sequence networks `import cvcourse.sequence`.

    Args:
        model: keras.Model from inputs to scores (batch, classes).
        path: Path of the .keras file. Its folder is created if the folder's parent exists.
        class_names: Names of the classes, in the order of the outputs.
        from_logits: Whether the model outputs logits; otherwise probabilities.

    Raises:
        RunError: If the file cannot be written.

    >>> import pathlib, tempfile
    >>> from cvcourse import models
    >>> model = models.build("linear", input_shape=(8, 8, 1), num_classes=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.keras")
    ...     save_model(model, path, ["cat", "dog"])
    ...     class_names(path)
    ('cat', 'dog')
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(exist_ok=True)
        # Only one of several workers saves, so no variable here may be created on all of them.
        with distribution.without_strategy(), replacing(path) as partial:
            is_sequence = isinstance(model, SequenceModel)
            kind = SequenceModel if is_sequence else keras.Model
            alone = kind(*_ends(model), name=model.name)
            if is_sequence:
                alone.recording(model.architecture, model.settings)
            alone.compile(
                "sgd",  # any optimizer without variables
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
                metrics=["accuracy"],
            )
            alone.save(partial)
            with zipfile.ZipFile(partial, "a") as archive:
                archive.writestr(CLASS_NAMES, json.dumps(list(class_names)))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; make room") from error


def _ends(model):
    """Return the input and the output of a model; a Sequential may not have these attributes."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def load_model(
    path: str | os.PathLike, *, named: bool = True
) -> tuple[keras.Model, tuple[str, ...] | None]:
    """Load a model that `save_model` or `compressed_file.write` has saved, and its class names.

    Args:
        path: Path of the .keras or .cvz file.
        named: Whether a file without class names is refused.

    Returns:
        A pair: the keras.Model, not compiled, and a tuple of names, one for each output; None for
        a file without class names.

    Raises:
        RunError: If there is no such file, or it is damaged.

    >>> import pathlib, tempfile
    >>> from cvcourse import models
    >>> model = models.build("linear", input_shape=(8, 8, 1), num_classes=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.keras")
    ...     save_model(model, path, ["cat", "dog"])
    ...     model, names = load_model(path)
    >>> model.output_shape, names
    ((None, 2), ('cat', 'dog'))
    """
    import cvcourse.layers
    import cvcourse.sequence  # noqa: F401  they register what the file may hold

    if compressed_file.is_compressed(path):
        names = compressed_file.class_names(path) or None
        if named and not names:
            raise RunError(f"cannot read a model from {path}: its classes have no names; {WANTED}")
        return compressed_file.read(path), names
    return read_named_model(path, remedy=WANTED, named=named)


def class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Read the names of the classes of a model that `save_model` has saved.

    Args:
        path: Path of the .keras file.

    Returns:
        A tuple of names, in the order of the model's outputs.

    Raises:
        RunError: If the file is damaged or does not name its classes.

    >>> import pathlib, tempfile
    >>> from cvcourse import models
    >>> model = models.build("linear", input_shape=(8, 8, 1), num_classes=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.keras")
    ...     save_model(model, path, ["cat", "dog"])
    ...     class_names(path)
    ('cat', 'dog')
    """
    return read_class_names(path, remedy=WANTED)
