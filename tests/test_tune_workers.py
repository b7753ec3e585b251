"""Several workers on one sweep: who does which trial, and what becomes of those that die."""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import types

import grpc
import keras_tuner
import numpy as np
import pytest
from crash import children_of, started, until
from cvcourse.recipes import train, tune
from keras_tuner.src import protos

from cvcourse import recipe, tuning
from cvcourse.errors import Diverged, InUse, RunError, UsageError
from cvcourse.files import write_json
from cvcourse.interrupt import handling
from cvcourse.tuning import service, workers
from cvcourse.tuning.trial import outcome_of

LOOPBACK = f"{tuning.LOOPBACK}:0"
SETTINGS = {"objective": "val_accuracy", "trials": 3, "epochs": 1, "seed": 0, "retries": 0}
DONE = tuning.Outcome({"val_accuracy": 0.5, "epochs": 2}, 2)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    for name in service.ENVIRONMENT:
        monkeypatch.setenv(name, "")  # to be restored
        monkeypatch.delenv(name)
    monkeypatch.setattr(service, "BEAT", 0.05)


@pytest.fixture
def oracle(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1, sampling="log")
    return tuning.oracle("random", space, tmp_path, **SETTINGS)


@pytest.fixture
def served(oracle):
    """(chief, a function that makes a worker by its name)."""
    chief = tuning.Chief(oracle, patience=0.4)
    with chief.serving(LOOPBACK) as address:
        yield chief, lambda name: tuning.Worker(address, name, oracle.folder, patience=3)


@pytest.fixture
def clock(monkeypatch):
    """The service's clock, which stands still but for what a test adds to its `now`."""
    clock = types.SimpleNamespace(now=1000.0, monotonic=lambda: clock.now, sleep=time.sleep)
    monkeypatch.setattr(service, "time", clock)
    return clock


def after(seconds, chief, clock):
    """What the chief, looking all the time, has handed over `seconds` later."""
    given = {}
    for _ in range(round(seconds / 0.02)):
        clock.now += 0.02
        given |= chief.reassign()
    return given


# --- who does what ---


def test_a_trial_s_values_are_the_chief_s_to_the_last_digit(served, oracle):
    trial = served[1]("a").next_trial()
    assert trial.hyperparameters.values == oracle.trials[trial.trial_id].hyperparameters.values
    rate = trial.hyperparameters.values["rate"]
    assert rate != float(np.float32(rate))  # which is what the service would give


def test_how_a_trial_ended_arrives_at_the_chief(served, oracle):
    chief, worker = served
    a = worker("a")
    first, second = a.next_trial(), None
    a.end_trial(first, DONE)
    second = a.next_trial()
    a.end_trial(second, tuning.Outcome(reason="out of memory"))
    assert [trial.trial_id for trial in chief.ended] == [first.trial_id, second.trial_id]
    kept = oracle.trials
    assert kept[first.trial_id].score == 0.5
    assert kept[first.trial_id].best_step == 2
    assert (kept[second.trial_id].status, kept[second.trial_id].message) == (
        "FAILED",
        "out of memory",
    )


def test_the_trial_of_a_silent_worker_is_another_s_and_ends_once(clock, served, oracle):
    chief, worker = served
    a, b = worker("a"), worker("b")
    trial = a.next_trial()
    assert after(0.1, chief, clock) == {}
    assert after(0.5, chief, clock) == {"a": trial.trial_id}
    assert b.next_trial().trial_id == trial.trial_id
    assert b.runs(trial)
    a.end_trial(trial, DONE)  # it was slow, and not dead
    assert not b.runs(trial)
    b.end_trial(trial, tuning.Outcome(reason="too late"))
    assert oracle.trials[trial.trial_id].score == 0.5
    assert not oracle.pending()


def test_a_worker_at_work_is_heard_of(clock, served):
    chief, worker = served
    a = worker("a")
    trial = a.next_trial()
    with a.alive(trial):
        for _ in range(10):
            assert after(0.08, chief, clock) == {}
            until(lambda: chief._heard[trial.trial_id] == clock.now)
    assert after(0.5, chief, clock) == {"a": trial.trial_id}


def test_nobody_is_silent_while_the_chief_itself_stands_still(clock, served):
    chief, worker = served
    a = worker("a")
    trial = a.next_trial()
    chief.reassign()
    clock.now += 0.8
    assert after(0.2, chief, clock) == {}
    assert after(0.4, chief, clock) == {"a": trial.trial_id}


def test_who_asks_while_the_last_trials_run_waits_and_may_get_one_of_them(served, oracle):
    chief, worker = served
    workers = [worker(name) for name in "abc"]
    trials = [one.next_trial() for one in workers]
    got = []
    d, e = worker("d"), worker("e")
    waiting = [
        threading.Thread(target=lambda one=one: got.append(one.next_trial())) for one in (d, e)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    assert got == []
    assert not chief.over()
    chief.reassign("b")  # whose process has died
    while not got:
        time.sleep(0.02)
    assert got[0].trial_id == trials[1].trial_id
    for one, trial in zip((workers[0], d, workers[2]), trials, strict=True):
        assert not chief.over()
        one.end_trial(trial, DONE)
    for thread in waiting:
        thread.join()
    assert got[1] is None
    assert workers[0].next_trial() is None
    assert chief.over()
    assert len(oracle.end_order) == 3


def test_trials_that_ran_when_the_chief_died_are_ended_by_their_workers(served, oracle, tmp_path):
    trial = served[1]("a").next_trial()
    again = tuning.oracle("random", oracle.hyperparameters, tmp_path, **SETTINGS)
    chief = tuning.Chief(again, patience=5)
    with chief.serving(LOOPBACK) as address:
        tuning.Worker(address, "a", tmp_path, 3).end_trial(trial, DONE)
        assert tuning.Worker(address, "b", tmp_path, 3).next_trial().trial_id != trial.trial_id
    assert again.end_order == [trial.trial_id]


def test_a_worker_keeps_its_trial_when_the_chief_is_started_again(clock, served, oracle, tmp_path):
    trial = served[1]("a").next_trial()
    again = tuning.oracle("random", oracle.hyperparameters, tmp_path, **SETTINGS)
    chief = tuning.Chief(again, patience=0.4)
    with chief.serving(LOOPBACK) as address:
        a, b = (tuning.Worker(address, name, tmp_path, 3) for name in "ab")
        assert a.runs(trial)  # its sign of life
        assert b.next_trial().trial_id != trial.trial_id
        assert (
            after(0.6, chief, clock)[f"?{trial.trial_id}"] == trial.trial_id
        )  # silent from then on
        assert a.next_trial().trial_id in "01"


def test_a_sweep_that_was_done_has_nothing_left_to_serve(oracle, tmp_path):
    assert tuning.any_left(oracle)
    for _ in range(3):
        tuning.end_trial(oracle, tuning.next_trial(oracle), DONE)
    assert not tuning.any_left(oracle)
    assert not tuning.any_left(
        tuning.oracle("random", oracle.hyperparameters, tmp_path, **SETTINGS)
    )


def test_a_grid_keeps_many_workers_busy(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Choice("rate", [1.0, 2.0, 3.0, 4.0, 5.0])
    oracle = tuning.oracle("grid", space, tmp_path, **SETTINGS | {"trials": 9})
    trials = [tuning.next_trial(oracle, f"worker{i}") for i in range(5)]
    assert sorted(trial.hyperparameters["rate"] for trial in trials) == [1, 2, 3, 4, 5]


def test_a_slow_proposal_is_waited_for(served, oracle, monkeypatch):
    """The call is given up, the chief is not; and those at work are heard of meanwhile."""
    chief, worker = served
    a = worker("a")
    trial = a.next_trial()
    propose = oracle.populate_space
    monkeypatch.setattr(service, "DEADLINE", 0.3)
    b = worker("b")
    monkeypatch.setattr(
        oracle, "populate_space", lambda trial_id: (time.sleep(1.5), propose(trial_id))[1]
    )
    with a.alive(trial):
        assert b.next_trial().trial_id == "1"
        assert chief.reassign() == {}
    assert a.deserted is None


def test_a_damaged_trial_is_redone_by_a_worker(served, oracle, tmp_path, capsys):
    trial = served[1]("a").next_trial()
    (tmp_path / "trials" / "0" / "trial.json").write_text("{")
    again = tuning.oracle("random", oracle.hyperparameters, tmp_path, **SETTINGS)
    assert "is damaged" in capsys.readouterr().err
    with tuning.Chief(again, 5).serving(LOOPBACK) as address:
        redone = tuning.Worker(address, "a", tmp_path, 3).next_trial()
    assert redone.trial_id == trial.trial_id
    assert redone.hyperparameters.values == trial.hyperparameters.values


def test_a_save_goes_through_what_a_killed_one_left(oracle, tmp_path):
    oracle.save()
    (tmp_path / ".part-oracle.older.json").write_text("{")
    oracle.save()
    assert json.loads((tmp_path / "oracle.older.json").read_text())


# --- what goes wrong ---


def test_a_worker_of_another_sweep_does_not_end_this_one(served, oracle):
    chief, worker = served
    a = worker("a")
    stranger = a.next_trial()
    stranger.trial_id = "77"
    with pytest.raises(RunError, match="this sweep has no trial 77"):
        a.runs(stranger)
    assert not chief.over()
    assert worker("b").next_trial().trial_id == "1"


GARBAGE = b"\xff\xff\xff\xff"  # no protobuf


def stray_calls(address):
    """{call: code} of each of the service's calls for a trial that there is not, and of garbage."""
    service_pb, found = protos.get_service(), {}
    with grpc.insecure_channel(address) as channel:
        stub = protos.get_service_grpc().OracleStub(channel)
        stranger = keras_tuner.engine.trial.Trial(keras_tuner.HyperParameters(), "77").to_proto()
        surprise = keras_tuner.HyperParameters()
        surprise.Boolean("surprise")
        calls = {
            "GetSpace": service_pb.GetSpaceRequest(),
            "UpdateSpace": service_pb.UpdateSpaceRequest(hyperparameters=surprise.to_proto()),
            "UpdateTrial": service_pb.UpdateTrialRequest(trial_id="77", metrics={"loss": 0.5}),
            "EndTrial": service_pb.EndTrialRequest(trial=stranger),
            "GetTrial": service_pb.GetTrialRequest(trial_id="77"),
            "GetBestTrials": service_pb.GetBestTrialsRequest(num_trials=99),
        }
        for name, request in calls.items():
            raw = channel.unary_unary(f"/keras_tuner.Oracle/{name}")
            for what, call, sent in (
                (name, getattr(stub, name), request),
                (f"{name} garbage", raw, GARBAGE),
            ):
                try:
                    call(sent, timeout=60)
                    found[what] = "OK"
                except grpc.RpcError as error:
                    found[what] = error.code().name
    return found


def test_a_stray_call_is_answered_and_changes_nothing(served, oracle):
    """keras-tuner 1.4.8's UpdateTrial of an unknown trial leaves its lock held: all would hang."""
    chief, worker = served
    a = worker("a")
    trial = a.next_trial()
    before = oracle.get_state()
    found = stray_calls(a.address)
    assert {name: code for name, code in found.items() if "garbage" not in name} == {
        "GetSpace": "OK",
        "UpdateSpace": "UNIMPLEMENTED",
        "UpdateTrial": "UNIMPLEMENTED",
        "EndTrial": "NOT_FOUND",
        "GetTrial": "NOT_FOUND",
        "GetBestTrials": "UNIMPLEMENTED",
    }
    assert "OK" not in {code for name, code in found.items() if "garbage" in name}
    assert oracle.get_state() == before
    with pytest.raises(RunError, match=r"there is no .*outcome\.json"):
        a._ask("end_trial", trial)  # without an outcome that its worker has written
    a.end_trial(trial, DONE)
    with pytest.raises(RunError, match="UpdateTrial is not served"):
        a._ask("update_trial", trial.trial_id, {"val_accuracy": 0.9})  # which has ended
    a.end_trial(trial, tuning.Outcome(reason="once more"))
    assert oracle.trials[trial.trial_id].score == 0.5
    while trial := a.next_trial():
        a.end_trial(trial, DONE)
    assert chief.over()
    assert [trial.score for trial in oracle.trials.values()] == [0.5] * 3


@pytest.mark.parametrize(
    "values",
    [
        {"values": {"val_loss": 0.5}, "epoch": 1, "reason": ""},
        {"values": {"val_accuracy": "high"}, "epoch": 1, "reason": ""},
        {"values": {"val_accuracy": None}, "epoch": 1, "reason": ""},
        {"values": [0.5], "epoch": 1, "reason": ""},
        {"values": {}, "epoch": 0, "reason": ""},
        {"test_accuracy": 0.5},
    ],
)
def test_an_end_that_is_none_is_refused(served, oracle, values):
    chief, worker = served
    a = worker("a")
    trial = a.next_trial()
    write_json(oracle.trial_folder(trial.trial_id) / "outcome.json", values)
    with pytest.raises(RunError, match=r"outcome\.json is not the outcome of a trial"):
        a._ask("end_trial", trial)
    assert not chief.over()
    assert oracle.trials[trial.trial_id].status == "RUNNING"


def test_the_environment_is_left_as_it_was(served):
    served[1]("a")
    assert service.from_environment() == (None, None)


def test_a_run_that_another_process_is_in_is_no_failed_trial(tmp_path, monkeypatch):
    """Of two workers that have the same trial, one waits until the other has ended it."""
    begun = []

    def in_use(*words):
        begun.append(words)
        raise InUse("another process is running in run")

    class Client:
        patience, folder = 30, tmp_path
        runs = staticmethod(lambda trial: len(begun) < 2)

    monkeypatch.setattr(workers, "attempt", in_use)
    monkeypatch.setattr(workers.time, "sleep", lambda seconds: None)
    trial = types.SimpleNamespace(trial_id="0")
    assert workers.unless_in_use(None, trial, Client) is None
    Client.patience, Client.runs = -1, staticmethod(lambda trial: True)
    outcome = workers.unless_in_use(None, trial, Client)
    assert (outcome.status, "without progress" in outcome.reason) == ("FAILED", True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Diverged("the loss is nan"), "the loss is nan"),
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left on device"), RunError),
        (RunError("cannot write the checkpoint"), RunError),
        (InUse("another process"), InUse),
    ],
)
def test_what_is_not_the_trial_s_fault_ends_no_trial(error, expected, tmp_path):
    def fail(*words):
        raise error

    setting = train.Config(workdir=str(tmp_path))
    if isinstance(expected, str):
        assert expected in outcome_of(fail, setting, None, "none").reason
    else:
        with pytest.raises(expected):
            outcome_of(fail, setting, None, "none")


def test_a_port_in_use_is_refused(served, oracle):
    chief = tuning.Chief(oracle, 1)
    with (
        chief.serving(LOOPBACK) as address,
        pytest.raises(UsageError, match=rf"cannot serve at {address}: the port is in use"),
        tuning.Chief(oracle, 1).serving(address),
    ):
        pass


def test_a_worker_without_a_chief_says_so(tmp_path):
    worker = tuning.Worker(f"{tuning.LOOPBACK}:1", "a", tmp_path, 0.3)
    with pytest.raises(RunError, match=r"no chief has answered at 127\.0\.0\.1:1 for 0\.3 seconds"):
        worker.wait_for_chief()


def test_training_stops_where_the_chief_is_gone(oracle, tmp_path):
    with tuning.Chief(oracle, 1).serving(LOOPBACK) as address:
        worker = tuning.Worker(address, "a", tmp_path, 0.3)
        trial = worker.next_trial()
    # As training does inside, which would not be interrupted in a shell's background otherwise.
    answered = handling(signal.default_int_handler, signal.SIGINT)
    with answered, pytest.raises(KeyboardInterrupt), worker.alive(trial):
        time.sleep(60)
        pytest.fail("it was not interrupted")
    assert "no chief has answered" in str(worker.deserted)


def test_an_error_of_the_oracle_reaches_chief_and_worker(served, oracle, monkeypatch):
    chief, worker = served
    monkeypatch.setattr(oracle, "populate_space", lambda trial_id: 1 / 0)
    with pytest.raises(RunError, match="has failed: ZeroDivisionError"):
        worker("a").next_trial()
    with pytest.raises(RunError, match="the sweep's oracle failed: division by zero"):
        chief.over()


@pytest.mark.parametrize(
    ("variables", "flags", "expected"),
    [
        ({}, {}, (None, None)),
        ({}, {"chief": ":5000"}, ("127.0.0.1:5000", None)),
        ({}, {"chief": "0.0.0.0:5000"}, ("0.0.0.0:5000", None)),
        ({}, {"chief": "host:5000", "worker": "w1", "workdir": "x"}, ("host:5000", "w1")),
        (("10.0.0.1", "5000", "chief"), {}, ("10.0.0.1:5000", None)),
        (("10.0.0.1", "5000", "tuner0"), {"workdir": "x"}, ("10.0.0.1:5000", "tuner0")),
        (("10.0.0.1", "5000", ""), {}, "KERASTUNER_TUNER_ID is not"),
        ({}, {"chief": "5000:"}, "--chief expects HOST:PORT"),
        ({}, {"chief": ":70000"}, "--chief expects HOST:PORT"),
        ({}, {"worker": "w1"}, "needs the address of the chief"),
        ({}, {"worker": "w1", "chief": ":5000"}, "needs the directory of the chief"),
        (
            {},
            {"chief": ":5000", "protocol": "coarse_to_fine"},
            "needs --workers instead of --chief",
        ),
    ],
)
def test_chief_and_worker_by_flags_or_environment(variables, flags, expected, monkeypatch):
    for name, value in zip(service.ENVIRONMENT, variables, strict=False):
        monkeypatch.setenv(name, value)
    config = tune.Config(**flags)
    if isinstance(expected, tuple):
        assert tuning.chief_and_worker(config) == expected
    else:
        with pytest.raises(UsageError, match=expected):
            tuning.chief_and_worker(config)


def test_a_space_that_other_processes_cannot_have_is_refused():
    with pytest.raises(UsageError, match="at the top level of a module"):
        tuning.chief_and_worker(tune.Config(workers=2), lambda hp, config: config)


# --- the recipe ---


def config(tmp_path, **settings):
    settings = {"limit": 300, "epochs": 3, "trials": 4, "vary": ("learning_rate",)} | settings
    settings = {"batch_size": 20, "stop": "none", "worker_timeout": 20.0} | settings
    return tune.Config(workdir=str(tmp_path / "sweep"), **settings)


@contextlib.contextmanager
def process(config):
    """A process of `cvcourse tune`."""
    with started([sys.executable, "-m", *recipe.command(config, "cvcourse tune").split()]) as one:
        try:
            yield one
        finally:
            one.kill()


def rows(config):
    with open(pathlib.Path(config.workdir, "trials.csv"), newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


def workers_of(chief):
    return children_of(chief, "child_process")


def checkpoints(config):
    return list(pathlib.Path(config.workdir).glob("trials/*/run/checkpoints/step-*"))


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives_though_all_are_killed(tmp_path):
    alone = config(tmp_path / "alone")
    tune.main(alone)
    two = config(tmp_path, workers=2)
    with process(two) as chief:
        until(lambda: checkpoints(two), chief)
        os.kill(workers_of(chief)[0], signal.SIGKILL)
        until(lambda: len(workers_of(chief)) == 2, chief)
        children = workers_of(chief)
        chief.kill()
        chief.wait()
        until(  # sooner than a worker gives up a chief that does not answer: worker_timeout
            lambda: not any(os.path.exists(f"/proc/{child}") for child in children), seconds=15
        )
    with process(two) as chief:
        _, errors = chief.communicate()
        assert (chief.returncode, errors) == (0, "")
    assert rows(two) == rows(alone)
    best = [json.loads(pathlib.Path(one.workdir, "best.json").read_text()) for one in (alone, two)]
    assert best[0] == best[1]


@pytest.mark.slow
def test_workers_elsewhere_late_ones_and_those_of_another_sweep(tmp_path):
    served = config(tmp_path, chief=":47113", trials=2)
    worker = dataclasses.replace(served, worker="far")
    with process(served) as chief, process(worker) as far:
        other = dataclasses.replace(worker, epochs=4)
        until(pathlib.Path(served.workdir, "config.json").exists, chief)
        with process(other) as stranger:
            _, errors = stranger.communicate()
            assert stranger.returncode == 2
            assert "another run, which differs in epochs (there 3, here 4)" in errors
        output, _ = chief.communicate()
        assert chief.returncode == 0
        assert "best: trial" in output
        output, _ = far.communicate()
        assert far.returncode == 0
        assert "the sweep is over" in output
    with process(worker) as late:
        output, _ = late.communicate()
        assert late.returncode == 0
        assert "is finished" in output


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hundred_trials_survive_a_kill_every_ten_to_thirty_seconds(tmp_path, workers):
    sweep = config(tmp_path, trials=100, limit=60, epochs=1, workers=workers)
    rng, ended = random.Random(workers), False
    while not ended:
        with process(sweep) as chief:
            while chief.poll() is None and not ended:
                try:
                    _, errors = chief.communicate(timeout=rng.uniform(10, 30))
                    assert (chief.returncode, errors) == (0, "")
                    ended = True
                except subprocess.TimeoutExpired:
                    os.kill(rng.choice([chief.pid, *workers_of(chief)]), signal.SIGKILL)
                    time.sleep(1)
    found = rows(sweep)
    assert [row["trial"] for row in found] == [f"{i:03}" for i in range(100)]
    assert {row["status"] for row in found} == {"completed"}
    assert len({row["learning_rate"] for row in found}) == 100
