"""Resumable `fit`: early stopping, the best model, exact resume, and the order of callbacks."""

import math
import sys
from typing import Any

import keras

from cvcourse.distribution import SingleDevice
from cvcourse.training._machine import is_interactive
from cvcourse.training.best_model import BestModel
from cvcourse.training.exact_resume import ExactResume
from cvcourse.training.progress import EpochLine, EpochTensorBoard, LogUnregularizedLoss
from cvcourse.training.snapshots import Snapshots


def fit(
    model,
    run,
    batches,
    validation,
    *,
    steps_per_epoch,
    batch_size,
    data,
    names=None,
    saved=None,
    averages=(),
    callbacks=(),
    one_hot=False,
    devices=None,
):
    """Train a compiled model in a run's directory, or resume its training there.

    The settings are fields of the run's config: epochs and checkpoint_minutes and, if it has them,
    snapshots and the fields of `recipe.groups.StoppingFields`. After Ctrl-C or SIGTERM, training
    saves a checkpoint at the end of the step, and stops.

    Args:
        model: keras.Model, compiled with `weighted_metrics` and prepared by `devices.ready`.
        run: Run of `recipe.open_run`, whose `begin()` is called here, or a training inside it.
        batches: Function (start_step) -> the shuffled batches of the training split, without end,
            starting at this step of the run.
        validation: Function () -> the batches of the validation split in order.
        steps_per_epoch: Number of batches per epoch.
        batch_size: Number of examples per batch.
        data: Fingerprint of the data. A checkpoint of other data is refused.
        names: Names of the classes, saved in model.keras with the best epoch's model. If None, no
            model, no snapshots and no TensorBoard logs are written.
        saved: Model to save instead of `model`, with the same layers, for other inputs.
        averages: Weight averages of `cvcourse.regularization`, callbacks with `variables`.
        callbacks: Additional callbacks, called before an epoch is saved.
        one_hot: Whether labels are rows with one number per class.
        devices: Strategy of cvcourse.distribution. If None, a single device.

    Returns:
        The ExactResume, with the history, the best epoch and the times of the whole run.

    Raises:
        RunError: If a checkpoint is of other data or another model, or a file cannot be written.
        Diverged: If a loss or weight became NaN or infinite.
        Interrupted: After a signal.
    """
    config, settings = run.config, vars(run.config)
    devices = devices or SingleDevice([keras.backend.backend()])
    monitor = settings.get("monitor", "val_loss")
    early_stopping = keras.callbacks.EarlyStopping(
        monitor,
        mode="max" if monitor == "val_accuracy" else "min",
        patience=settings.get("patience") or sys.maxsize,
        min_delta=settings.get("min_delta", 0.0),
        start_from_epoch=settings.get("start_from_epoch", 0),
    )
    resume = ExactResume(
        model,
        run.path,
        steps_per_epoch=steps_per_epoch,
        early_stopping=early_stopping,
        minutes=config.checkpoint_minutes,
        command=run.command,
        data=data,
        one_hot=one_hot,
        others=[variable for average in averages for variable in average.variables],
        devices=devices,
    )
    run.begin()
    files = []
    if names is not None and devices.chief:
        files = [
            BestModel(run.path / "model.keras", early_stopping, names, saved),
            EpochTensorBoard(run.path / "tensorboard", write_graph=False),
        ]
        if snapshots := settings.get("snapshots"):
            files.append(Snapshots(run.path / "snapshots", config.epochs // snapshots, names))
    watched = is_interactive()
    lines = [EpochLine(config.epochs)] if devices.chief and not watched else []
    print(devices.describe(batch_size), flush=True)
    with resume.stopping_on_signals(), devices.fitting():
        for span in resume.spans(config.epochs):
            model.fit(
                devices.feed(batches, start_step=resume.step),
                validation_data=devices.feed(validation),
                callbacks=[
                    LogUnregularizedLoss(),
                    early_stopping,
                    *files,
                    *averages,  # after the callbacks that save the model that was validated
                    *lines,
                    *callbacks,
                    resume,  # last: it saves the state of the others
                ],
                shuffle=False,  # batches are already shuffled
                verbose=int(devices.chief and watched),
                **span,
            )
    return resume


def facts(
    trained: ExactResume | None, model: keras.Model, config: Any = None, **per_step: float
) -> dict[str, Any]:
    """Collect the metrics that the runs of all recipes have in common.

    Args:
        trained: ExactResume as `fit` returns it; None without training steps.
        model: The trained keras.Model.
        config: Config of the run. If None, as for a part of a run, the seed is left out.
        **per_step: {name: number of items per step}, such as images_per_second=batch_size.

    Returns:
        A dict: best_epoch, epochs, seconds, parameters (trainable ones), seed, and for each name in
        `per_step` the number per second, None if no step was timed.

    >>> from cvcourse import models
    >>> facts(None, models.build("lenet5"), images_per_second=32)["parameters"]
    61706
    """
    timed = trained.timed_steps if trained else 0
    return {
        "best_epoch": trained and trained.best_epoch,
        "epochs": len(trained.history) if trained else 0,
        "seconds": round(trained.total_seconds(), 1) if trained else 0.0,
        **{
            name: round(timed * count / trained.step_seconds, 1) if trained and timed else None
            for name, count in per_step.items()
        },
        "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        **({"seed": config.seed} if config else {}),
    }
