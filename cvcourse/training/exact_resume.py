"""Exact resume: a run that was killed at any step ends with the weights of an uninterrupted run.

In addition to weights and optimizer, checkpoints hold the state that Keras' own files lack: the
seed generators of dropout, the metrics of an unfinished epoch, the state of early stopping, and the
history.
"""

import contextlib
import csv
import io
import math
import os
import pathlib
import signal
import time

import keras
import numpy as np

from cvcourse.distribution import SingleDevice
from cvcourse.errors import Diverged, Interrupted, RunError, reason
from cvcourse.files import read_bytes, write_text
from cvcourse.interrupt import handling
from cvcourse.training import checkpoint

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
HISTORY_BYTES = 2**28  # far above a million epochs
REMEDY = "remove it and metrics.json beside it, and the same command writes both again"
STOP = 2  # a request to stop; higher than a request for a checkpoint, 1
EARLY_STOPPING = ("wait", "best", "best_epoch", "stopped_epoch")


class ExactResume(keras.callbacks.Callback):
    """Callback that saves checkpoints, and restores the last one when it is created.

    Put it last in the list of callbacks, after LogUnregularizedLoss and `early_stopping`, and call
    `fit` once for each of `spans()`. It saves a checkpoint at the end of each epoch, every
    `minutes`, and before it stops for a signal. It writes history.csv, and stops training if the
    loss becomes NaN or infinite.

    Args:
        model: keras.Model, compiled.
        workdir: The run's directory, as a pathlib.Path.
        steps_per_epoch: Number of batches per epoch.
        early_stopping: keras.callbacks.EarlyStopping, before this one in the list of callbacks.
        minutes: Minutes between two checkpoints within an epoch.
        command: Command line that resumes the run, for messages.
        data: Fingerprint of the data.
        one_hot: Whether labels are rows with one number per class.
        others: Variables to save in addition to the model's and the optimizer's.
        devices: Strategy of cvcourse.distribution. If None, a single device. Several workers save
            and stop at the same step; only the first writes files, and all start from its
            checkpoint.

    Attributes:
        step: Number of training steps done.
        history: A list of rows, dicts with the keys HISTORY. The loss is without regularization.
        best_epoch: Number of the best epoch, from 1.
        timed_steps: Number of timed steps: all but the first of each process, which traces.
        step_seconds: Seconds in these steps.

    Raises:
        RunError: If the checkpoint is of another model, backend or `data`, or if a new one cannot
            be written.
        Diverged: If the training or validation loss or a weight becomes NaN or infinite.
    """

    def __init__(
        self,
        model,
        workdir,
        *,
        steps_per_epoch,
        early_stopping,
        minutes,
        command,
        data,
        one_hot=False,
        others=(),
        devices=None,
    ):
        super().__init__()
        self.devices = devices or SingleDevice([])
        self.one_hot, self.others = one_hot, others
        self.folder, self.csv = workdir / "checkpoints", workdir / "history.csv"
        self.steps_per_epoch = steps_per_epoch
        self.early_stopping = early_stopping
        self.minutes, self.command, self.data = minutes, command, data
        self.step, self.history, self.step_seconds, self._seconds = 0, [], 0.0, 0.0
        self.timed_steps = 0
        self._traced = self._stopped = self._signaled = False
        self._early_stopping_state = None
        self._metrics = None  # of the epoch that was interrupted
        self._clock = self._saved = time.monotonic()
        if not model.optimizer.built:  # a LossScaleOptimizer would create its variables again
            model.optimizer.build(model.trainable_variables)
        self._restore(model)

    @property
    def best_epoch(self):
        """Number of the best epoch, from 1, as early stopping decides."""
        return self.early_stopping.best_epoch + 1

    def total_seconds(self):
        """Return the seconds since the run began, without interruptions."""
        return self._seconds + time.monotonic() - self._clock

    def spans(self, epochs):
        """Yield the remaining spans of training: the rest of an unfinished epoch, then the others.

        Args:
            epochs: Number of epochs of the whole run.

        Yields:
            A dict of arguments for `fit`: initial_epoch, epochs and steps_per_epoch.
        """
        while not self._stopped and self.step < epochs * self.steps_per_epoch:
            epoch, done = divmod(self.step, self.steps_per_epoch)
            yield {
                "initial_epoch": epoch,
                "epochs": epoch + 1 if done else epochs,
                "steps_per_epoch": self.steps_per_epoch - done,
            }

    @contextlib.contextmanager
    def stopping_on_signals(self):
        """Context manager: on Ctrl-C or SIGTERM, finish the step, save and raise Interrupted."""
        with handling(self._on_signal, signal.SIGINT, signal.SIGTERM):
            yield

    def _on_signal(self, number, frame):
        if self._signaled:  # a second signal stops at once
            raise KeyboardInterrupt("interrupted without a new checkpoint")
        self._signaled = True
        print("\nstopping after a checkpoint", flush=True)

    # ---- Keras' hooks ----

    def on_train_begin(self, logs=None):
        # EarlyStopping resets itself in its own on_train_begin, just before this one.
        if self._early_stopping_state:
            vars(self.early_stopping).update(self._early_stopping_state)

    def on_epoch_begin(self, epoch, logs=None):
        if self._metrics is not None:
            # Keras creates the metrics' variables when it first receives labels and logits.
            logits = np.zeros((1, self.model.output_shape[-1]), "float32")
            labels = logits if self.one_hot else np.zeros(1, "int32")
            self.model.compute_metrics(None, labels, logits)
            sums, parts = self._metrics
            own = _on_each_replica(self.model.metrics_variables)
            # This machine may have other devices than the one that saved.
            if len(parts) == len(own):
                _assign(own, parts)
            else:
                _assign(self.model.metrics_variables, sums)
            self._metrics = None

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self._traced:
            self.step_seconds += now - self._began
            self.timed_steps += 1
        self._traced = True
        self.step += 1
        if not math.isfinite(logs["loss"]):
            self._diverged(f"the loss became {logs['loss']}")
        if self.step % self.steps_per_epoch == 0:
            return  # validation comes first; on_epoch_end saves
        request = STOP if self._signaled else int(now - self._saved > 60 * self.minutes)
        if request := self.devices.highest(request):
            self._save(self.model.metrics_variables, stop=request == STOP)

    def on_test_end(self, logs=None):
        # Before on_epoch_end, where early stopping could select this epoch as the best one.
        if not math.isfinite(logs["data_loss"]):
            self._diverged(f"the validation loss became {logs['data_loss']}")

    def on_epoch_end(self, epoch, logs=None):
        row = {
            "epoch": epoch + 1,
            "loss": logs["loss"],
            "accuracy": logs["accuracy"],
            "val_loss": logs["val_loss"],
            "val_accuracy": logs["val_accuracy"],
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
        }
        self.history.append(row)
        self._stopped = self.model.stop_training
        self._save(stop=bool(self.devices.highest(int(self._signaled))))

    # ---- files ----

    def _save(self, metrics=(), *, stop):
        self._seconds, self._clock = self.total_seconds(), time.monotonic()
        self._saved = self._clock
        if hasattr(self.model, "jax_state_sync"):  # JAX updates variables at the end of an epoch
            self.model.jax_state_sync()
        self._early_stopping_state = {
            key: getattr(self.early_stopping, key) for key in EARLY_STOPPING
        }
        state = self._state(self.model)
        arrays = _arrays("variable", state) | _arrays("metric", metrics)
        if self.devices.replicas > 1 and self.devices.workers == 1:
            arrays |= _arrays("part", _on_each_replica(metrics))
        if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
            self._diverged("a weight became NaN or infinite")
        values = {
            "step": self.step,
            "history": self.history,
            "seconds": self._seconds,
            "step_seconds": self.step_seconds,
            "timed_steps": self.timed_steps,
            "stopped": self._stopped,
            "early_stopping": self._early_stopping_state,
            "forms": _forms(state),
            "backend": keras.backend.backend(),
            "data": self.data,
        }
        try:
            if self.devices.chief:
                checkpoint.save(self.folder, self.step, arrays, values)
                write_text(self.csv, _csv(self.history))
        except OSError as error:
            raise RunError(
                f"cannot write the checkpoint of step {self.step}: {error.strerror}; "
                f"{self._kept()}make room and resume with: {self.command}"
            ) from error
        if stop:
            raise Interrupted(f"stopped at step {self.step}; resume with: {self.command}")

    def _restore(self, model):
        """Restore the last checkpoint, if there is one, to the model and this callback."""
        saved = self.devices.broadcast(checkpoint.newest(self.folder))
        if saved is None:
            return
        arrays, values = checkpoint.decoded(saved)
        state = self._state(model)
        if values["backend"] != keras.backend.backend():
            raise RunError(
                f"the run in {self.folder.parent} was started with another backend; resume it with "
                f"KERAS_BACKEND={values['backend']}"
            )
        if values["data"] != self.data:
            raise RunError(
                f"the data have changed since the run in {self.folder.parent} was started: restore "
                "them, or start a new run"
            )
        if values["forms"] != _forms(state):
            raise RunError(f"the checkpoint in {self.folder} is of another model")
        _assign(state, [arrays[f"variable{i}"] for i in range(len(state))])
        self.step, self.history = values["step"], values["history"]
        self.step_seconds, self.timed_steps = values["step_seconds"], values["timed_steps"]
        self._seconds = values["seconds"]
        self._stopped = values["stopped"]
        self._early_stopping_state = values["early_stopping"]
        vars(self.early_stopping).update(self._early_stopping_state)
        if self.step % self.steps_per_epoch:
            self._metrics = [
                [array for name, array in arrays.items() if name.startswith(kind)]
                for kind in ("metric", "part")
            ]
        if self.devices.chief:
            try:  # the process may have been killed between the two files
                write_text(self.csv, _csv(self.history))
            except OSError as error:
                raise RunError(f"cannot write {self.csv}: {error.strerror}") from error

    def _state(self, model):
        """List the variables that training depends on, each once."""
        metrics = {id(variable) for variable in model.metrics_variables}
        all_of_them = [*model.variables, *model.optimizer.variables, *self.others]
        found = {id(variable): variable for variable in all_of_them}
        return [variable for key, variable in found.items() if key not in metrics]

    def _kept(self):
        there = any(self.folder.glob("step-*.npz"))
        return f"the last good checkpoint is kept in {self.folder}; " if there else ""

    def _diverged(self, what):
        epoch, step = divmod(self.step - 1, self.steps_per_epoch)
        raise Diverged(
            f"{what} at step {self.step} (epoch {epoch + 1}, batch {step + 1}): training stopped; "
            f"{self._kept()}lower the learning rate, or inspect the data"
        )


def _forms(variables):
    """Return shapes and dtypes to compare models; Keras numbers names within a process."""
    return [[list(variable.shape), variable.dtype] for variable in variables]


def _on_each_replica(metrics):
    """Return the variables of metrics on each replica; Keras reads their sum, which is rounded."""
    return [part for v in metrics for part in getattr(v.value, "values", [v])]


def _assign(variables, arrays):
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _arrays(name, variables):
    return {f"{name}{i}": v.numpy() for i, v in enumerate(variables)}


def read_history(folder: str | os.PathLike) -> list[dict[str, float]]:
    """Read the history.csv of a run.

    Args:
        folder: The run's directory.

    Returns:
        A list of dicts by epoch, {column: number} for the columns of `HISTORY`.

    Raises:
        FileNotFoundError: If there is none yet.
        RunError: If it is damaged.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "history.csv").write_text("epoch,loss\\n1,0.5\\n2,0.25\\n")
    ...     read_history(folder)
    [{'epoch': 1.0, 'loss': 0.5}, {'epoch': 2.0, 'loss': 0.25}]
    """
    path = pathlib.Path(folder, "history.csv")
    try:
        text = read_bytes(path, HISTORY_BYTES).decode()
        rows = csv.DictReader(io.StringIO(text))
        return [{key: float(value) for key, value in row.items()} for row in rows]
    except FileNotFoundError:
        raise
    except RunError as error:
        raise RunError(f"{error}; {REMEDY}") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise RunError(f"cannot read {path}: {reason(error)}; {REMEDY}") from error


def history_columns(folder):
    """Read the history.csv of a run by columns: {column: numbers by epoch}; see `read_history`."""
    rows = read_history(folder)
    return {key: [row[key] for row in rows] for key in HISTORY}


def _csv(rows):
    lines = [",".join(HISTORY), *(",".join(repr(row[key]) for key in HISTORY) for row in rows)]
    return "\n".join(lines) + "\n"
