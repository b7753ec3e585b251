"""keras-tuner's oracles with atomic files, which resume only the sweep that they belong to.

keras-tuner 1.4.8 writes its files in place, and resumes from a directory of any search space. Here
`oracle.json` and each `trial.json` are written atomically. A damaged one is set aside and reported;
for oracle.json, the previous version is kept and then used.
"""

import contextlib
import dataclasses
import json
import math
import pathlib

import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine.hyperparameters import Int
from keras_tuner.engine.trial import Trial, TrialStatus

from cvcourse.errors import RunError, UsageError
from cvcourse.files import read_json, set_aside, write_bytes, write_json
from cvcourse.tuning.stopping import signed


class GridSearchOracle(oracles.GridSearchOracle):
    """keras-tuner's grid search, with its position in the grid as part of its state.

    An Int with a logarithmic step has integer values, and a name may have a different range in each
    conditional scope: keras-tuner 1.4.8 returns floats, and values of another scope's range.
    """

    def populate_space(self, trial_id):
        response = super().populate_space(trial_id)
        if response["status"] == TrialStatus.RUNNING:
            # keras-tuner proposes the next point only when a trial ends: other workers would wait.
            self._populate_next.append(trial_id)
        return response

    def _get_next_combination(self, values):
        hps = self.get_space()
        hps.values = dict(values)
        active = [hp for hp in hps.space if hps.is_active(hp)]
        while active:
            hp = active.pop()
            order = _order(hp)
            if (place := order.index(hps.values[hp.name]) + 1) < len(order):
                kept = {one.name: hps.values[one.name] for one in active}
                hps.values = kept | {hp.name: order[place]}
                for one in hps.space:
                    if hps.is_active(one):
                        hps.values.setdefault(one.name, one.default)
                return hps.values
        return None

    def _compare(self, a, b):
        here, there = self._place(a), self._place(b)
        return (here > there) - (here < there)

    def _place(self, values):
        """Return the position of a combination in the grid, as a list of indices."""
        hps = self.get_space()
        hps.values = values
        return [_order(hp).index(values[hp.name]) for hp in hps.space if hps.is_active(hp)]

    def get_state(self):
        order, index = [], self._ordered_ids._next_index[None]
        while index is not None:
            order.append(self._ordered_ids._memory[index])
            index = self._ordered_ids._next_index[index]
        return super().get_state() | {"ordered": order, "populate_next": self._populate_next}

    def set_state(self, state):
        super().set_state(state)
        for trial_id in state["ordered"]:
            self._ordered_ids.insert(trial_id)
        # keras-tuner adds a trial after its end is saved; adding it twice is harmless.
        self._populate_next = list(dict.fromkeys([*state["populate_next"], *self.end_order]))


def _order(hp):
    """Return the values of a hyperparameter in the order of the grid: the default comes first."""
    values = [int(value) if isinstance(hp, Int) else value for value in hp.values]
    return [hp.default, *(value for value in values if not _same(value, hp.default))]


def _same(a, b):
    """Return whether two values are equal up to rounding: 0.1 + 2 * 0.1 is more than 0.3."""
    return math.isclose(a, b) if isinstance(a, float) else a == b


class BayesianOptimizationOracle(oracles.BayesianOptimizationOracle):
    """keras-tuner's Bayesian optimization, with its random generator as part of its state."""

    def get_state(self):
        kind, keys, *rest = self._random_state.get_state()
        return super().get_state() | {"random_state": [kind, keys.tolist(), *rest]}

    def set_state(self, state):
        super().set_state(state)
        if "random_state" in state:  # absent if an older version started the sweep
            self._random_state.set_state(state["random_state"])


ORACLES = {
    "random": oracles.RandomSearchOracle,
    "grid": GridSearchOracle,
    "bayesian": BayesianOptimizationOracle,
    "hyperband": oracles.HyperbandOracle,
}
STATE, OLDER, SPACE = "oracle.json", "oracle.older.json", "space.json"
TRIAL, OUTCOME = "trial.json", "outcome.json"
NEVER = 10**9  # consecutive failures after which keras-tuner stops the search


def trial_folder(folder, trial_id):
    """Return the folder of a trial of the sweep in `folder`."""
    return folder / "trials" / trial_id


class Kept:
    """Mixin for a keras-tuner oracle that stores its files in `folder`."""

    folder = None

    def trial_folder(self, trial_id):
        """Return the folder of a trial."""
        return trial_folder(self.folder, trial_id)

    def run_folder(self, trial):
        """Return the run directory of a trial's training."""
        return self.trial_folder(trial.trial_id) / "run"

    def pending(self):
        """Return whether a trial is running or waits to be run again."""
        return bool(self.ongoing_trials or self._retry_queue)

    def is_lost(self, trial_id):
        """Return whether a trial waits for another worker."""
        return trial_id in self._retry_queue

    def adopt(self, trial_id):
        """Mark a lost trial as running again, since its worker is alive."""
        if self.is_lost(trial_id):
            self._retry_queue.remove(trial_id)
            self.ongoing_trials[f"?{trial_id}"] = self.trials[trial_id]

    def give_back(self, tuner_id):
        """Put the trial of `tuner_id` back, for the next worker that requests one."""
        self._retry_queue.append(self.ongoing_trials.pop(tuner_id).trial_id)
        self.save()

    def save(self):
        """Write oracle.json and keep its previous version."""
        state = self.get_state()
        state["trials"] = {key: trial.hyperparameters.values for key, trial in self.trials.items()}
        ended = {*self.end_order, *self._retry_queue}  # keras-tuner saves before it removes them
        ongoing = {tuner: key for tuner, key in state["ongoing_trials"].items() if key not in ended}
        state["ongoing_trials"] = ongoing
        path = self.folder / STATE
        with contextlib.suppress(FileNotFoundError):
            write_bytes(self.folder / OLDER, path.read_bytes())
        write_json(path, state)

    def _record_values(self, trial):
        # keras-tuner also removes the value of a name that has another range in an inactive scope.
        trial.hyperparameters.ensure_active_values = lambda: None
        super()._record_values(trial)
        del trial.hyperparameters.ensure_active_values

    def retry_failed(self):
        """Queue the failed trials to be run again; return their number."""
        failed = [key for key in self.end_order if self.trials[key].status == TrialStatus.FAILED]
        if not failed:  # nothing is written: the directory may be new
            return 0
        for key in failed:
            (self.trial_folder(key) / OUTCOME).unlink(missing_ok=True)
            self.trials[key].status, self.trials[key].message = TrialStatus.RUNNING, None
        self.end_order = [key for key in self.end_order if key not in failed]
        self._retry_queue += reversed(failed)  # keras-tuner takes the last one first
        self.save()
        for key in failed:  # after the queue is saved, which must not lack them
            self._save_trial(self.trials[key])
        return len(failed)

    def _save_trial(self, trial):
        folder = self.trial_folder(trial.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TRIAL, trial.get_state())

    def reload(self):
        """Load the state from disk; queue running trials again, and report damaged files."""
        state = _read(self.folder / STATE) or _read(self.folder / OLDER)
        if state is None:
            return
        lost = []
        for key, values in state.pop("trials").items():
            if kept := _trial(self.trial_folder(key) / TRIAL, key):
                self.trials[key] = kept
                continue
            space = keras_tuner.HyperParameters.from_config(state["hyperparameters"])
            space.values = values
            self.trials[key] = Trial(space, key, TrialStatus.RUNNING)
            lost.append(key)
        again = [*lost, *state["ongoing_trials"].values(), *state["retry_queue"]]
        state["ongoing_trials"] = {}
        state["retry_queue"] = list(dict.fromkeys(again))
        state["end_order"] = [key for key in state["end_order"] if key not in lost]
        self.set_state(state)
        for key in lost:  # a worker reads its values from the file
            self._save_trial(self.trials[key])


def oracle(
    kind: str,
    space: keras_tuner.HyperParameters,
    folder: pathlib.Path,
    *,
    objective: str,
    trials: int,
    epochs: int,
    seed: int,
    retries: int,
) -> keras_tuner.Oracle:
    """Create a keras-tuner oracle, or load the one in a folder.

    Args:
        kind: "random", "grid", "bayesian" or "hyperband".
        space: Hyperparameters for which it proposes values.
        folder: Folder of its files.
        objective: Name of a metric. Smaller is better if it ends in "loss", else larger.
        trials: Maximum number of trials. Hyperband determines its own.
        epochs: Maximum number of epochs, for Hyperband.
        seed: Random seed.
        retries: keras-tuner's `max_retries_per_trial`.

    Returns:
        The oracle.

    Raises:
        UsageError: If the folder contains a sweep of another space, with the differences.
        RunError: If it contains files of another kind of oracle.

    >>> import tempfile
    >>> space = keras_tuner.HyperParameters()
    >>> rate = space.Float("learning_rate", 1e-3, 1.0, sampling="log")
    >>> options = dict(objective="val_accuracy", trials=2, epochs=1, seed=0, retries=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trial = next_trial(oracle("random", space, pathlib.Path(folder), **options))
    >>> 1e-3 <= trial.hyperparameters["learning_rate"] <= 1.0
    True
    """
    direction = "min" if signed(objective, 1) < 0 else "max"
    options = {
        "objective": keras_tuner.Objective(objective, direction),
        "hyperparameters": space,
        "allow_new_entries": False,
        "seed": seed + 1,  # 0 would mean any
        "max_retries_per_trial": retries,
        "max_consecutive_failed_trials": NEVER,
    }
    if kind == "hyperband":
        options["max_epochs"] = epochs
    else:
        options["max_trials"] = trials
    made = type("Kept" + ORACLES[kind].__name__, (Kept, ORACLES[kind]), {})(**options)
    made.folder, made.verbose = folder, 0
    require_same_space(folder, space)
    try:
        made.reload()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{folder / STATE} is of another kind of sweep, or of another version of keras-tuner: "
            f"{type(error).__name__}: {error}; remove it, and {OLDER} is used"
        ) from error
    return made


def kept_trials(folder):
    """Load the trials of the sweep in a folder, in order."""
    paths = sorted((folder / "trials").glob(f"*/{TRIAL}"))
    return [trial for path in paths if (trial := _trial(path, path.parent.name))]


def next_trial(oracle, tuner_id="tuner"):
    """Return the Trial to run now; None if the sweep is over."""
    trial = oracle.create_trial(tuner_id)
    return trial if trial.status == TrialStatus.RUNNING else None


def any_left(oracle):
    """Return whether a trial remains to be run. A newly proposed one waits for a worker."""
    if next_trial(oracle, "nobody") is None:
        return False
    oracle.give_back("nobody")
    return True


def end_trial(oracle, trial, outcome):
    """Record the Outcome of a trial."""
    oracle.adopt(trial.trial_id)  # if it was considered lost
    if outcome.values:
        oracle.update_trial(trial.trial_id, outcome.values, step=outcome.epoch)
    trial.status = outcome.status
    trial.message = outcome.reason
    oracle.end_trial(trial)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """End of a trial: the metrics of its best epoch, or the reason of its failure."""

    values: dict = dataclasses.field(default_factory=dict)  # metrics of the best epoch
    epoch: int = 0  # the best epoch
    reason: str = ""

    @property
    def status(self):
        """keras-tuner's status: COMPLETED or FAILED."""
        return TrialStatus.COMPLETED if self.values else TrialStatus.FAILED


def kept_outcome(path, objective):
    """Read the Outcome of a trial.

    Args:
        path: JSON file that its worker wrote, as a pathlib.Path.
        objective: Name of a metric that a completed trial must have.

    Returns:
        The Outcome.

    Raises:
        RunError: If there is no such file, or it contains something else.
    """
    try:
        outcome = Outcome(**read_json(path))
        numbers = [outcome.epoch, *outcome.values.values()]
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise TypeError("its values are not numbers")
        if objective not in outcome.values and (outcome.values or not outcome.reason):
            raise ValueError(f"it has no {objective}")
        return outcome
    except FileNotFoundError as error:
        raise RunError(
            f"there is no {path}, which a worker writes at the end of a trial"
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not the outcome of a trial: {error}") from error


def hyperparameter_names(space):
    """Return the names of HyperParameters, without duplicates."""
    return list(dict.fromkeys(hp.name for hp in space.space))


def keep_space(folder, space):
    """Write the search space of the sweep in a folder."""
    write_json(folder / SPACE, _as_json(space))


def require_same_space(folder, space):
    """Raise UsageError with the differences if the sweep in a folder has another search space."""
    here, there = _as_json(space), _read(folder / SPACE)
    if there is None:
        return
    try:
        if wrong := [name for name in there for one in there[name] if one["name"] != name]:
            raise ValueError(f"the entry {wrong[0]!r} contains another name")
    except (KeyError, TypeError, ValueError) as error:
        path = folder / SPACE
        set_aside(path, f"{path} is not a search space: {type(error).__name__}: {error}")
        return
    changes = [
        f"{name} (there {_range(there.get(name))}, here {_range(here.get(name))})"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]
    if changes:
        raise UsageError(
            f"{folder} contains a sweep of another space, which differs in "
            f"{', '.join(changes)}; choose another directory, or resume "
            "with the original space by tune.main(config, space)"
        )


def _as_json(space):
    """Return {name: configs} of hyperparameters; conditional ones may have several."""
    found = {}
    for hp in space.space:
        found.setdefault(hp.name, []).append(hp.get_config())
    return json.loads(json.dumps(found))


def _range(configs):
    """Describe the ranges of a hyperparameter."""
    return " or ".join(map(in_words, configs)) if configs else "nothing"


def in_words(config):
    """Describe the range of a hyperparameter, given its config."""
    if "value" in config:
        return str(config["value"])
    if "values" in config:
        return " ".join(map(str, config["values"]))
    if "min_value" not in config:
        return "False True"
    step = f" by {config['step']}" if config.get("step") else ""
    sampling = f", {config['sampling']}" if config.get("sampling") else ""
    return f"{config['min_value']} to {config['max_value']}{step}{sampling}"


def _read(path):
    """Read a JSON file; None if it is missing, or damaged and therefore set aside."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
    except RunError as error:
        set_aside(path, error)
        return None


def _trial(path, trial_id):
    """Read a Trial; None if its file is missing, or damaged and therefore set aside."""
    if (state := _read(path)) is None:
        return None
    try:
        trial = Trial.from_state(state)
        if trial.trial_id != trial_id:
            raise ValueError(f"it belongs to trial {trial.trial_id!r}")
        return trial
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        set_aside(
            path, f"{path} is not a file of trial {trial_id}: {type(error).__name__}: {error}"
        )
        return None
