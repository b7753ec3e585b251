"""Several workers on one sweep: keras-tuner's chief and its clients, such that all of them end.

keras-tuner 1.4.8's chief waits for ever for a worker that died, and its worker an hour for a chief;
an error in the oracle leaves its lock held; values travel in single precision, and the reason of a
failure not at all. Here a worker is heard of every few seconds or its trial becomes another's, and
what a trial's values are and how it ended stands in the trial's folder, which all of them share.
"""

import contextlib
import dataclasses
import functools
import os
import signal
import threading
import time
from concurrent import futures

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client
from keras_tuner.src.engine import conditions
from keras_tuner.src.engine.trial import Trial, TrialStatus

from cvcourse.errors import RunError, UsageError
from cvcourse.files import read_json, write_json
from cvcourse.tuning._oracle import OUTCOME, TRIAL, end_trial, kept_outcome, trial_folder

conditions.print = lambda *words: None  # keras-tuner prints a value of each condition it sends

BEAT = 2.0  # seconds between a worker's signs of life
DEADLINE = 15.0  # seconds for a call; a Bayesian proposal takes longer, and is asked for again
CALLS = 64  # at a time; those that wait for a proposal must not keep the beats out
LOOPBACK = "127.0.0.1"
FINAL = (  # answers that the same call would get again
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
)
ENVIRONMENT = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")


def from_environment():
    """(address, worker) as keras-tuner's three variables say them, or (None, None).

    `worker` is None for the chief, whose id has "chief" in it. Raises UsageError where one of the
    three is missing.
    """
    ip, port, tuner_id = map(os.environ.get, ENVIRONMENT)
    if ip is None:
        return None, None
    for name, value in zip(ENVIRONMENT, (ip, port, tuner_id), strict=True):
        if not value:
            raise UsageError(f"{ENVIRONMENT[0]} is set, and {name} is not: set all three, or none")
    return f"{ip}:{port}", None if "chief" in tuner_id else tuner_id


def address_of(text):
    """ "HOST:PORT" of a text that may leave the host out. Raises UsageError for none."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--chief expects HOST:PORT, or :PORT for {LOOPBACK}; received {text!r}")
    return f"{host or LOOPBACK}:{port}"


def _alone(method):
    """A service's method, one call at a time, whose failure the chief's own loop gets to see.

    After it no call reaches the oracle, whose lock keras-tuner leaves held.
    """

    @functools.wraps(method)
    def answer(self, request, context, *more):
        with self.lock:
            if self.failure is None:
                try:
                    return method(self, request, context, *more)
                except Exception as error:
                    self.failure = error
            said = f"{type(self.failure).__name__}: {self.failure}"
        context.abort(grpc.StatusCode.INTERNAL, said)

    return answer


def _not_served(method):
    """A service's method that only answers that it is none of a sweep of ours.

    Workers of ours have no use for it, and keras-tuner's own leaves the oracle's lock held where a
    trial is unknown, or changes what the sweep knows.
    """

    @functools.wraps(method)
    def answer(self, request, context):
        said = f"{method.__name__} is not served: the workers are those of `cvcourse tune`"
        context.abort(grpc.StatusCode.UNIMPLEMENTED, said)

    return answer


class Chief(oracle_chief.OracleServicer):
    """Serves an oracle of ours to workers; what is `patience` seconds silent counts as dead.

    Outside the service's own calls, the oracle is used under `lock`. A call for a trial that there
    is not, or with an end that cannot be read, gets an error and changes nothing.
    """

    UpdateSpace = _not_served(oracle_chief.OracleServicer.UpdateSpace)
    UpdateTrial = _not_served(oracle_chief.OracleServicer.UpdateTrial)
    GetBestTrials = _not_served(oracle_chief.OracleServicer.GetBestTrials)

    def __init__(self, oracle, patience):
        super().__init__(oracle)
        self.patience, self.failure, self.lock = patience, None, threading.RLock()
        self.ended = []  # trials, in the order in which they ended
        self._heard = {}  # {trial's id: when its worker was last heard of}
        self._idle = {}  # {worker: when it last asked in vain and was told to wait}
        self._looked = time.monotonic()

    @contextlib.contextmanager
    def serving(self, address):
        """Serve at HOST:PORT, port 0 for any free one; yields the address. Raises UsageError."""
        # Without the option two chiefs share a port, and each gets half of the calls.
        options = [("grpc.so_reuseport", 0)]
        server = grpc.server(futures.ThreadPoolExecutor(CALLS), options=options)
        protos.get_service_grpc().add_OracleServicer_to_server(self, server)
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise UsageError(
                f"cannot serve at {address}: the port is in use or the host is not this machine; "
                "choose another --chief"
            ) from error
        server.start()
        try:
            yield f"{address.rpartition(':')[0]}:{port}"
        finally:
            server.stop(grace=1).wait()

    def _require(self, trial_id, context):
        if trial_id not in self.oracle.trials:
            context.abort(grpc.StatusCode.NOT_FOUND, f"this sweep has no trial {trial_id}")

    @_alone
    def CreateTrial(self, request, context):
        response = super().CreateTrial(request, context)
        if response.trial.status == protos.get_proto().TrialStatus.RUNNING:
            self._heard[response.trial.trial_id] = time.monotonic()
        elif self.oracle.pending():  # their workers may die, and leave a trial to this one
            response.trial.status = protos.get_proto().TrialStatus.IDLE
            self._idle[request.tuner_id] = time.monotonic()
            return response
        self._idle.pop(request.tuner_id, None)
        return response

    def GetTrial(self, request, context):
        """A sign of life: it waits for nothing, and only the status counts in the answer."""
        self._require(request.trial_id, context)
        self._heard[request.trial_id] = time.monotonic()
        trial = self.oracle.trials[request.trial_id]
        if self.oracle.is_lost(trial.trial_id) and self.lock.acquire(blocking=False):
            try:
                self.oracle.adopt(trial.trial_id)  # it ran when the chief was started again
            finally:
                self.lock.release()
        answer = Trial(keras_tuner.HyperParameters(), trial.trial_id, trial.status)
        return protos.get_service().GetTrialResponse(trial=answer.to_proto())

    def EndTrial(self, request, context):
        self._require(request.trial.trial_id, context)
        trial = self.oracle.trials[request.trial.trial_id]
        outcome = None
        if trial.status == TrialStatus.RUNNING:  # or else two workers had it
            path = self.oracle.trial_folder(trial.trial_id) / OUTCOME
            try:
                outcome = kept_outcome(path, self.oracle.objective.name)
            except RunError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return self._end_trial(request, context, trial, outcome)

    @_alone
    def _end_trial(self, request, context, trial, outcome):
        if trial.status == TrialStatus.RUNNING and outcome:
            end_trial(self.oracle, trial, outcome)
            self.ended.append(trial)
        return protos.get_service().EndTrialResponse()

    def reassign(self, worker=None):
        """Give the trial of a worker that died to the next one that asks, or, without a name,
        those of all that are silent. Returns {worker: trial's id}.
        """
        with self.lock:
            now = time.monotonic()
            if now - self._looked > 2 * BEAT:  # this process stood still, and nobody was heard
                late = now - self._looked
                self._heard = {key: heard + late for key, heard in self._heard.items()}
            self._looked = now
            ongoing = {key: trial.trial_id for key, trial in self.oracle.ongoing_trials.items()}
            given = {
                key: trial_id
                for key, trial_id in ongoing.items()
                if (
                    now - self._heard[trial_id] > self.patience if worker is None else key == worker
                )
            }
            for key in given:
                self.oracle.give_back(key)
        return given

    def over(self):
        """Whether all trials have ended, and all workers that wait have been told."""
        if self.failure:
            raise RunError(f"the sweep's oracle failed: {self.failure}") from self.failure
        recently = time.monotonic() - 3 * BEAT
        with self.lock:
            waiting = any(asked > recently for asked in self._idle.values())
            return self.stop_triggered and not self.oracle.pending() and not waiting


class Worker:
    """A worker's side: the trials that the chief at `address` gives to `name`.

    `folder` is the sweep's, which they share; a chief that is silent for `patience` seconds is
    gone.
    """

    def __init__(self, address, name, folder, patience):
        self.address, self.name, self.folder, self.patience = address, name, folder, patience
        oracle_client.TIMEOUT = min(DEADLINE, patience)  # keras-tuner's is an hour
        before = {variable: os.environ.get(variable) for variable in ENVIRONMENT}
        values = (*address.rpartition(":")[::2], name)
        os.environ.update(zip(ENVIRONMENT, values, strict=True))  # which it reads once
        self._client = oracle_client.OracleClient(None)
        for variable, value in before.items():
            os.environ.pop(variable)
            if value is not None:
                os.environ[variable] = value
        # Not through a proxy for the web, which would not find this machine's own address.
        channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._client.stub = protos.get_service_grpc().OracleStub(channel)
        self.deserted = None

    def wait_for_chief(self):
        """Return once it answers. Raises RunError where it does not."""
        if not self._answers():
            raise self._gone()

    def next_trial(self):
        """The Trial to run now, waiting for one if need be; None where the sweep is over."""
        while True:
            trial = self._ask("create_trial", self.name)
            if trial.status == TrialStatus.STOPPED:
                return None
            if trial.status == TrialStatus.RUNNING:
                path = trial_folder(self.folder, trial.trial_id) / TRIAL
                return Trial.from_state(read_json(path))
            time.sleep(BEAT)

    def runs(self, trial):
        """Whether a trial is still to be run; another worker may have ended it."""
        return self._ask("get_trial", trial.trial_id).status == TrialStatus.RUNNING

    def end_trial(self, trial, outcome):
        """Write down an Outcome, then say that there is one."""
        path = trial_folder(self.folder, trial.trial_id) / OUTCOME
        write_json(path, dataclasses.asdict(outcome))
        self._ask("end_trial", trial)

    @contextlib.contextmanager
    def alive(self, trial):
        """Inside, the chief hears of this worker. If it does not answer, training stops as by
        Ctrl-C, and `deserted` is the reason.
        """
        done = threading.Event()

        def beat():
            while not done.wait(BEAT):
                try:
                    self.runs(trial)
                except RunError as error:
                    if not done.is_set():
                        self.deserted = error
                        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()

    def _ask(self, what, *values):
        """Call the service, again and again while the chief is busy or being started again."""
        while True:
            try:
                return getattr(self._client, what)(*values)
            except grpc.RpcError as error:
                if error.code() in FINAL:
                    said = f"the chief at {self.address} has failed: {error.details()}"
                    raise RunError(said) from error
                if not self._answers():
                    raise self._gone() from error

    def _answers(self):
        """Whether the chief answers within `patience` seconds, to a call that waits for nothing."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            try:
                self._client.get_space()
                return True
            except grpc.RpcError:
                time.sleep(0.1)
        return False

    def _gone(self):
        return RunError(
            f"no chief answers at {self.address} for {self.patience:g} seconds: start it again "
            "with its command, then this worker"
        )
