"""What a recipe of its own puts around `fit()`: exact resume, early stopping, the best model."""

import sys

import keras

from cvcourse.training.best_model import BestModel
from cvcourse.training.exact_resume import ExactResume
from cvcourse.training.machine import someone_watches
from cvcourse.training.progress import DataLossIsLoss, EpochLine, EpochTensorBoard


def resumable(model, run, *, epochs, steps_per_epoch, patience, minutes, data, names, callbacks=()):
    """Begin a run, or go on with it: its ExactResume, and the callbacks for `fit` in their order.

    `model` is compiled, with training.weighted_metrics; fit it once for each span of
    `resume.spans(epochs)`, inside `resume.stopping_on_signals()`. The epoch of the lowest
    validation loss is kept in model.keras with the `names` of its classes; `patience` epochs
    without a lower one end the run, None never does. `data` is a fingerprint; `callbacks` see each
    epoch before it is saved. Raises RunError for a checkpoint that is another's.
    """
    early_stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience or sys.maxsize)
    resume = ExactResume(
        model,
        run.path,
        steps_per_epoch=steps_per_epoch,
        early_stopping=early_stopping,
        minutes=minutes,
        command=run.command,
        data=data,
    )
    run.begin()
    return resume, [
        DataLossIsLoss(),
        early_stopping,
        BestModel(run.path / "model.keras", early_stopping, names),
        EpochTensorBoard(run.path / "tensorboard", write_graph=False),
        *([] if someone_watches() else [EpochLine(epochs)]),
        *callbacks,
        resume,
    ]
