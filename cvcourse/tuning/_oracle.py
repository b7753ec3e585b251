"""keras-tuner's oracles, made safe: what they know is on disk whole, and is never silently wrong.

keras-tuner 1.4.8 writes its files in place, and takes up a directory whatever space it was of.
Here `oracle.json` and each `trial.json` appear whole or not at all. A damaged one is set aside and
said; of oracle.json there are two, of which the older counts then.
"""

import contextlib
import dataclasses
import json
import math

import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine.hyperparameters import Int
from keras_tuner.engine.trial import Trial, TrialStatus

from cvcourse.errors import RunError, UsageError
from cvcourse.files import read_json, set_aside, write_bytes, write_json
from cvcourse.tuning.stopping import signed


class GridSearchOracle(oracles.GridSearchOracle):
    """keras-tuner's, that keeps its place in the grid, too: its own forgets it.

    An Int with a logarithmic step has whole numbers, and a name may have a range in each of several
    conditional scopes: keras-tuner 1.4.8 gives floats, and values of another scope's range.
    """

    def populate_space(self, trial_id):
        response = super().populate_space(trial_id)
        if response["status"] == TrialStatus.RUNNING:
            # Its own takes the next point when a trial ends: other workers would wait for that.
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
        """Where a combination stands in the grid: a list that compares as combinations do."""
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
        # A trial is added behind the saving of its end; one that was used already does no harm.
        self._populate_next = list(dict.fromkeys([*state["populate_next"], *self.end_order]))


def _order(hp):
    """A hyperparameter's values in a grid's order: the default comes first."""
    values = [int(value) if isinstance(hp, Int) else value for value in hp.values]
    return [hp.default, *(value for value in values if not _same(value, hp.default))]


def _same(a, b):
    """Whether two values are one but for rounding: 0.1 + 2 * 0.1 is more than 0.3."""
    return math.isclose(a, b) if isinstance(a, float) else a == b


class BayesianOptimizationOracle(oracles.BayesianOptimizationOracle):
    """keras-tuner's, that keeps its random numbers, too: its own begins them anew."""

    def get_state(self):
        kind, keys, *rest = self._random_state.get_state()
        return super().get_state() | {"random_state": [kind, keys.tolist(), *rest]}

    def set_state(self, state):
        super().set_state(state)
        if "random_state" in state:  # not where an older version began the sweep
            self._random_state.set_state(state["random_state"])


ORACLES = {
    "random": oracles.RandomSearchOracle,
    "grid": GridSearchOracle,
    "bayesian": BayesianOptimizationOracle,
    "hyperband": oracles.HyperbandOracle,
}
STATE, OLDER, SPACE = "oracle.json", "oracle.older.json", "space.json"
TRIAL, OUTCOME = "trial.json", "outcome.json"
NEVER = 10**9  # consecutive failures after which keras-tuner gives up: the table shows them


def trial_folder(folder, trial_id):
    """Where the files of a trial are, of the sweep in a folder."""
    return folder / "trials" / trial_id


class Kept:
    """What a keras-tuner oracle becomes in `oracle()`: its files are in `folder`."""

    folder = None

    def trial_folder(self, trial_id):
        """Where a trial's files are."""
        return trial_folder(self.folder, trial_id)

    def run_folder(self, trial):
        """The directory of a trial's training run."""
        return self.trial_folder(trial.trial_id) / "run"

    def pending(self):
        """Whether a trial runs or is to be run again."""
        return bool(self.ongoing_trials or self._retry_queue)

    def is_lost(self, trial_id):
        """Whether a trial waits for another worker."""
        return trial_id in self._retry_queue

    def adopt(self, trial_id):
        """A lost trial's worker is alive after all: it waits no more."""
        if self.is_lost(trial_id):
            self._retry_queue.remove(trial_id)
            self.ongoing_trials[f"?{trial_id}"] = self.trials[trial_id]

    def give_back(self, tuner_id):
        """The trial that `tuner_id` has is to be run by the next that asks."""
        self._retry_queue.append(self.ongoing_trials.pop(tuner_id).trial_id)
        self.save()

    def save(self):
        """oracle.json; what it was before becomes the older one."""
        state = self.get_state()
        state["trials"] = {key: trial.hyperparameters.values for key, trial in self.trials.items()}
        ended = {*self.end_order, *self._retry_queue}  # keras-tuner saves before it takes them off
        ongoing = {tuner: key for tuner, key in state["ongoing_trials"].items() if key not in ended}
        state["ongoing_trials"] = ongoing
        path = self.folder / STATE
        with contextlib.suppress(FileNotFoundError):
            write_bytes(self.folder / OLDER, path.read_bytes())
        write_json(path, state)

    def _record_values(self, trial):
        # keras-tuner takes off the value of a name that has a range in an inactive scope, too.
        trial.hyperparameters.ensure_active_values = lambda: None
        super()._record_values(trial)
        del trial.hyperparameters.ensure_active_values

    def retry_failed(self):
        """Make the failed trials ones that are to be run; returns how many there are."""
        failed = [key for key in self.end_order if self.trials[key].status == TrialStatus.FAILED]
        if not failed:  # and perhaps no run yet: nothing is written
            return 0
        for key in failed:
            (self.trial_folder(key) / OUTCOME).unlink(missing_ok=True)
            self.trials[key].status, self.trials[key].message = TrialStatus.RUNNING, None
        self.end_order = [key for key in self.end_order if key not in failed]
        self._retry_queue += reversed(failed)  # the last is taken first
        self.save()
        for key in failed:  # after the list of what is to be run, in which they must not be missing
            self._save_trial(self.trials[key])
        return len(failed)

    def _save_trial(self, trial):
        folder = self.trial_folder(trial.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TRIAL, trial.get_state())

    def reload(self):
        """Take up what is there; what was running is to be run again. Prints what is damaged."""
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
        for key in lost:  # a worker reads its values
            self._save_trial(self.trials[key])


def oracle(kind, space, folder, *, objective, trials, epochs, seed, retries):
    """An oracle of ORACLES that proposes values of `space` (HyperParameters), in `folder`.

    It takes up what the folder holds. `objective` is a metric's name, larger is better but for
    losses; Hyperband decides the number of trials by `epochs`. Raises RunError for files of
    another oracle, UsageError for another space, naming the change.
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
            f"{folder / STATE} is not of this kind of sweep or of another version of keras-tuner: "
            f"{type(error).__name__}: {error}; remove it, and {OLDER} counts"
        ) from error
    return made


def kept_trials(folder):
    """The trials of the sweep in a folder, in their order."""
    paths = sorted((folder / "trials").glob(f"*/{TRIAL}"))
    return [trial for path in paths if (trial := _trial(path, path.parent.name))]


def next_trial(oracle, tuner_id="tuner"):
    """The Trial to run now, or None where the sweep is over."""
    trial = oracle.create_trial(tuner_id)
    return trial if trial.status == TrialStatus.RUNNING else None


def any_left(oracle):
    """Whether a trial is still to be run; one that was proposed for this waits for who asks."""
    if next_trial(oracle, "nobody") is None:
        return False
    oracle.give_back("nobody")
    return True


def end_trial(oracle, trial, outcome):
    """Write down how a trial ended: an Outcome."""
    oracle.adopt(trial.trial_id)  # where it was taken for lost
    if outcome.values:
        oracle.update_trial(trial.trial_id, outcome.values, step=outcome.epoch)
    trial.status = outcome.status
    trial.message = outcome.reason
    oracle.end_trial(trial)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended: COMPLETED with the values of its best epoch, or why it did not."""

    values: dict = dataclasses.field(default_factory=dict)  # the metrics of its best epoch
    epoch: int = 0  # the best one
    reason: str = ""

    @property
    def status(self):
        """keras-tuner's word for it."""
        return TrialStatus.COMPLETED if self.values else TrialStatus.FAILED


def kept_outcome(path, objective):
    """Read how a trial ended.

    Args:
        path: The JSON file that its worker wrote, as a pathlib.Path.
        objective: Name of the metric that the values of a completed trial hold.

    Returns:
        The Outcome.

    Raises:
        RunError: If there is no such file, or it holds something else.
    """
    try:
        outcome = Outcome(**read_json(path))
        numbers = [outcome.epoch, *outcome.values.values()]
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise TypeError("its values are no numbers")
        if objective not in outcome.values and (outcome.values or not outcome.reason):
            raise ValueError(f"it has no {objective}")
        return outcome
    except FileNotFoundError as error:
        raise RunError(f"there is no {path}, where its worker says how the trial ended") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} does not say how the trial ended: {error}") from error


def hyperparameter_names(space):
    """The names of a space's hyperparameters, each once."""
    return list(dict.fromkeys(hp.name for hp in space.space))


def keep_space(folder, space):
    """Write down the space of the sweep in a folder."""
    write_json(folder / SPACE, _as_json(space))


def require_same_space(folder, space):
    """Raise UsageError naming what differs from the space that was kept in a folder, if any."""
    here, there = _as_json(space), _read(folder / SPACE)
    if there is None:
        return
    try:
        if wrong := [name for name in there for one in there[name] if one["name"] != name]:
            raise ValueError(f"{wrong[0]!r} is something else")
    except (KeyError, TypeError, ValueError) as error:
        path = folder / SPACE
        set_aside(path, f"{path} holds no search space: {type(error).__name__}: {error}")
        return
    changes = [
        f"{name} (there {_range(there.get(name))}, here {_range(here.get(name))})"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]
    if changes:
        raise UsageError(
            f"{folder} holds a sweep of another space, which differs in "
            f"{', '.join(changes)}; choose another directory, or go on by tune.main(config, space) "
            "with the space that it was begun with"
        )


def _as_json(space):
    """{name: config} of each hyperparameter; one that only some values ask for may be twice."""
    found = {}
    for hp in space.space:
        found.setdefault(hp.name, []).append(hp.get_config())
    return json.loads(json.dumps(found))


def _range(configs):
    """A hyperparameter's values in words."""
    return " or ".join(map(in_words, configs)) if configs else "nothing"


def in_words(config):
    """A hyperparameter's range in words, from its config."""
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
    """The values in a JSON file; None for one that is not there, or that is set aside."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
    except RunError as error:
        set_aside(path, error)
        return None


def _trial(path, trial_id):
    """The Trial in a JSON file; None for a file that is not there, or that is set aside."""
    if (state := _read(path)) is None:
        return None
    try:
        trial = Trial.from_state(state)
        if trial.trial_id != trial_id:
            raise ValueError(f"it is of trial {trial.trial_id!r}")
        return trial
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        set_aside(path, f"{path} is no file of trial {trial_id}: {type(error).__name__}: {error}")
        return None
