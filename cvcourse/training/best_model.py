"""The best epoch's model as a file that stands alone: raw images in, logits and class names out."""

import json
import zipfile

import keras

from cvcourse import distribution
from cvcourse.errors import RunError
from cvcourse.files import replacing
from cvcourse.saved_model import CLASS_NAMES, read_class_names, read_named_model
from cvcourse.sequence.registry import SequenceModel

WANTED = "give the model.keras of a finished run"


class BestModel(keras.callbacks.Callback):
    """Writes the model to `path` after each epoch that `early_stopping`, before it, finds best.

    `other` is written in its place: a model with the same layers, for other inputs.
    """

    def __init__(self, path, early_stopping, class_names, other=None):
        super().__init__()
        self.path, self.early_stopping, self.class_names = path, early_stopping, class_names
        self.other = other

    def on_epoch_end(self, epoch, logs=None):
        if self.early_stopping.best_epoch == epoch:
            save_model(self.other or self.model, self.path, self.class_names)


def save_model(model, path, class_names, *, from_logits=True):
    """Save `model` with the names of its classes, ready for `evaluate`, atomically.

    Without `from_logits` it gives probabilities. The optimizer stays behind:
    `keras.models.load_model(path)` needs `import cvcourse.layers` at most, or
    for sequence nets `import cvcourse.sequence`. Raises RunError where
    the file cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        # Of several workers, only one may be here: what is made to save is its own.
        with distribution.alone(), replacing(path) as partial:
            is_sequence = isinstance(model, SequenceModel)
            kind = SequenceModel if is_sequence else keras.Model
            alone = kind(model.input, model.output, name=model.name)
            if is_sequence:
                alone.recording(model.architecture, model.settings)
            alone.compile(
                "sgd",  # any without variables of its own
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
                metrics=["accuracy"],
            )
            alone.save(partial)
            with zipfile.ZipFile(partial, "a") as archive:
                archive.writestr(CLASS_NAMES, json.dumps(list(class_names)))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; make room") from error


def load_model(path, *, named=True):
    """Read a model that `save_model` has written, and the names of its classes.

    Args:
        path: Path of the .keras file, as str or PathLike.
        named: Whether it must name its classes.

    Returns:
        A pair: the keras.Model, not compiled, and a tuple of names, one for each of its outputs;
        None for a file that names none and need not.

    Raises:
        RunError: If it is damaged or no such file.
    """
    import cvcourse.layers
    import cvcourse.sequence  # noqa: F401  they register what the file may hold

    return read_named_model(path, remedy=WANTED, named=named)


def class_names(path):
    """Read the names of the classes of a saved model, in the order of its outputs.

    Args:
        path: Path of the .keras file, as str or PathLike.

    Returns:
        A tuple of names.

    Raises:
        RunError: If it is damaged or does not name its classes.
    """
    return read_class_names(path, remedy=WANTED)
