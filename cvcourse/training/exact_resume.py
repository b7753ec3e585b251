"""Exact resume: a run that was killed anywhere ends with the weights it would have had anyway.

Beside weights and optimizer it keeps what Keras' own files leave out: the seed generators of
dropout, the metrics of a half epoch, early stopping's memory and the history.
"""

import contextlib
import csv
import io
import math
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
STOP = 2  # a wish that goes beyond that for a checkpoint
EARLY_STOPPING = ("wait", "best", "best_epoch", "stopped_epoch")


class ExactResume(keras.callbacks.Callback):
    """Checkpoints a compiled model in `workdir`, and puts the last checkpoint back when made.

    Put it last among the callbacks, LogUnregularizedLoss and `early_stopping` before it, and fit
    once for each of `spans()`. It saves at the end of each epoch and every `minutes`, and before it
    stops for a signal; writes history.csv; and stops where the loss is no longer a number.
    `one_hot` means that labels are rows, `others` are variables beside the model's and its
    optimizer's. Of several workers in `devices` (a strategy of cvcourse.distribution) the first
    writes, all save and stop at the same step, and all begin with what the first has.

    Attributes: `step` is the number of training steps done, `history` a list of rows with the keys
    HISTORY (loss is without penalties), `best_epoch` counts from 1 like they do,
    `step_seconds` is the time inside `timed_steps`: all but each process' first, which traces.

    Raises RunError for a checkpoint of another model, backend or `data` (a fingerprint), where the
    disk does not take a new one, and where training or validation loss is no longer a number.
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
        if not model.optimizer.built:  # one of loss scaling would make its variables anew
            model.optimizer.build(model.trainable_variables)
        self._put_back(model)

    @property
    def best_epoch(self):
        """The epoch, from 1, that early stopping holds for the best."""
        return self.early_stopping.best_epoch + 1

    def total_seconds(self):
        """The time since the run began, without the time it lay still."""
        return self._seconds + time.monotonic() - self._clock

    def spans(self, epochs):
        """What is left of `epochs`: arguments for `fit`, for the rest of a half epoch and then all.

        Each is a dict of initial_epoch, epochs and steps_per_epoch.
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
        """Inside, Ctrl-C and SIGTERM wait for the step to end, save and raise Interrupted."""
        with handling(self._on_signal, signal.SIGINT, signal.SIGTERM):
            yield

    def _on_signal(self, number, frame):
        if self._signaled:  # the second time is meant
            raise KeyboardInterrupt("interrupted without a new checkpoint")
        self._signaled = True
        print("\nstopping: the checkpoint comes first", flush=True)

    # ---- Keras' hooks ----

    def on_train_begin(self, logs=None):
        # EarlyStopping forgets everything in its own on_train_begin, just before this one.
        if self._early_stopping_state:
            vars(self.early_stopping).update(self._early_stopping_state)

    def on_epoch_begin(self, epoch, logs=None):
        if self._metrics is not None:
            # Keras makes the metrics' variables when it first sees labels and logits.
            logits = np.zeros((1, self.model.output_shape[-1]), "float32")
            labels = logits if self.one_hot else np.zeros(1, "int32")
            self.model.compute_metrics(None, labels, logits)
            sums, parts = self._metrics
            own = _on_each_replica(self.model.metrics_variables)
            # A machine may have other devices now than the one that saved.
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
        wish = STOP if self._signaled else int(now - self._saved > 60 * self.minutes)
        if wish := self.devices.highest(wish):
            self._save(self.model.metrics_variables, stop=wish == STOP)

    def on_test_end(self, logs=None):
        # Before on_epoch_end, where early stopping would take it for the best one.
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
        if hasattr(self.model, "jax_state_sync"):  # on JAX variables lag behind inside an epoch
            self.model.jax_state_sync()
        self._early_stopping_state = {
            key: getattr(self.early_stopping, key) for key in EARLY_STOPPING
        }
        state = self._state(self.model)
        arrays = _arrays("variable", state) | _arrays("metric", metrics)
        if self.devices.replicas > 1 and self.devices.workers == 1:
            arrays |= _arrays("part", _on_each_replica(metrics))
        if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
            self._diverged("a weight is no longer a number")
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
                f"{self._kept()}make room and go on with: {self.command}"
            ) from error
        if stop:
            raise Interrupted(f"stopped at step {self.step}; go on with: {self.command}")

    def _put_back(self, model):
        """Load the last checkpoint, if there is one, into the model and this callback."""
        saved = self.devices.broadcast(checkpoint.newest(self.folder))
        if saved is None:
            return
        arrays, values = checkpoint.decoded(saved)
        state = self._state(model)
        if values["backend"] != keras.backend.backend():
            raise RunError(
                f"the run in {self.folder.parent} was begun on another backend; go on with "
                f"KERAS_BACKEND={values['backend']}"
            )
        if values["data"] != self.data:
            raise RunError(
                f"the data are no longer those that the run in {self.folder.parent} was begun "
                "with: bring them back, or start a new run"
            )
        if values["forms"] != _forms(state):
            raise RunError(f"the checkpoint in {self.folder} is of another model than this one")
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
            try:  # a kill may have come between the two files
                write_text(self.csv, _csv(self.history))
            except OSError as error:
                raise RunError(f"cannot write {self.csv}: {error.strerror}") from error

    def _state(self, model):
        """Every variable that decides how training goes on, each once."""
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
            f"{self._kept()}lower --learning_rate, or look at the data"
        )


def _forms(variables):
    """What tells two models apart; names do not, Keras counts them up within a process."""
    return [[list(variable.shape), variable.dtype] for variable in variables]


def _on_each_replica(metrics):
    """The variables that metrics have on each replica; Keras reads their sum, which is rounded."""
    return [part for v in metrics for part in getattr(v.value, "values", [v])]


def _assign(variables, arrays):
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _arrays(name, variables):
    return {f"{name}{i}": v.numpy() for i, v in enumerate(variables)}


def read_history(folder):
    """Read the history.csv of a run.

    Args:
        folder: The run's directory, as a pathlib.Path.

    Returns:
        A list of dicts by epoch, {column: number} for the columns of `HISTORY`.

    Raises:
        FileNotFoundError: If there is none yet.
        RunError: If it is damaged.
    """
    path = folder / "history.csv"
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
    """Read the history.csv of a run as `read_history` does: {column: numbers by epoch}."""
    rows = read_history(folder)
    return {key: [row[key] for row in rows] for key in HISTORY}


def _csv(rows):
    lines = [",".join(HISTORY), *(",".join(repr(row[key]) for key in HISTORY) for row in rows)]
    return "\n".join(lines) + "\n"
