"""Several workers on one sweep: keras-tuner's chief and clients with heartbeats and timeouts.

keras-tuner 1.4.8's chief waits forever for a dead worker, and its worker waits an hour for a chief;
an error in the oracle leaves its lock held; values are sent in single precision, and the reason of
a failure is not sent. Here a worker sends a heartbeat every few seconds; without it, its trial is
assigned to another worker. The values and the outcome of a trial are files in its folder, which
chief and workers share.
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

BEAT = 2.0  # seconds between heartbeats of a worker
DEADLINE = 15.0  # seconds for a call; if a Bayesian proposal takes longer, the call is repeated
CALLS = 64  # concurrent calls: calls that wait for a proposal must not block the heartbeats
LOOPBACK = "127.0.0.1"
FINAL = (  # status codes for which a call is not repeated
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
)
ENVIRONMENT = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")


def from_environment():
    """Read keras-tuner's three environment variables.

    Returns:
        (address of the chief, name of this worker). The name is None for the chief, whose id
        contains "chief"; both are None if the first variable is not set.

    Raises:
        UsageError: If only some of the variables are set.
    """
    ip, port, tuner_id = map(os.environ.get, ENVIRONMENT)
    if ip is None:
        return None, None
    for name, value in zip(ENVIRONMENT, (ip, port, tuner_id), strict=True):
        if not value:
            raise UsageError(f"{ENVIRONMENT[0]} is set, and {name} is not: set all three, or none")
    return f"{ip}:{port}", None if "chief" in tuner_id else tuner_id


def address_of(text):
    """Return HOST:PORT for a text in which the host is optional. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--chief expects HOST:PORT, or :PORT for {LOOPBACK}; received {text!r}")
    return f"{host or LOOPBACK}:{port}"


def _serialized(method):
    """Decorate a method of the service: run one call at a time, and keep an error for the chief.

    After an error, no call reaches the oracle, since keras-tuner leaves its lock held.
    """

    @functools.wraps(method)
    def answer(self, request, context, *more):
        with self.lock:
            if self.failure is None:
                try:
                    return method(self, request, context, *more)
                except Exception as error:
                    self.failure = error
            message = f"{type(self.failure).__name__}: {self.failure}"
        context.abort(grpc.StatusCode.INTERNAL, message)

    return answer


def _not_served(method):
    """Replace a method of the service by one that refuses the call.

    Our workers do not call it. keras-tuner's version changes the state of the sweep, or leaves the
    lock of the oracle held if a trial is unknown.
    """

    @functools.wraps(method)
    def answer(self, request, context):
        message = f"{method.__name__} is not served: start workers by `cvcourse tune`"
        context.abort(grpc.StatusCode.UNIMPLEMENTED, message)

    return answer


class Chief(oracle_chief.OracleServicer):
    """Server of an oracle for workers.

    Outside of the service's methods, use the oracle only under `lock`. A call for an unknown trial,
    or with an outcome that cannot be read, fails and has no effect.

    Args:
        oracle: The oracle.
        patience: Seconds after which a silent worker counts as dead.
    """

    UpdateSpace = _not_served(oracle_chief.OracleServicer.UpdateSpace)
    UpdateTrial = _not_served(oracle_chief.OracleServicer.UpdateTrial)
    GetBestTrials = _not_served(oracle_chief.OracleServicer.GetBestTrials)

    def __init__(self, oracle, patience):
        super().__init__(oracle)
        self.patience, self.failure, self.lock = patience, None, threading.RLock()
        self.ended = []  # trials, in the order in which they ended
        self._heard = {}  # {trial's id: time of the last message of its worker}
        self._idle = {}  # {worker: time when it last had to wait for a trial}
        self._looked = time.monotonic()

    @contextlib.contextmanager
    def serving(self, address):
        """Context manager: serve at HOST:PORT (port 0: any free one), and yield the address.

        Raises UsageError if the address is not available.
        """
        # Without this option, two chiefs could share a port, and each would get half of the calls.
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

    @_serialized
    def CreateTrial(self, request, context):
        response = super().CreateTrial(request, context)
        if response.trial.status == protos.get_proto().TrialStatus.RUNNING:
            self._heard[response.trial.trial_id] = time.monotonic()
        elif self.oracle.pending():  # if another worker dies, this one gets its trial
            response.trial.status = protos.get_proto().TrialStatus.IDLE
            self._idle[request.tuner_id] = time.monotonic()
            return response
        self._idle.pop(request.tuner_id, None)
        return response

    def GetTrial(self, request, context):
        """Handle a heartbeat. It never blocks; only the status in the answer is used."""
        self._require(request.trial_id, context)
        self._heard[request.trial_id] = time.monotonic()
        trial = self.oracle.trials[request.trial_id]
        if self.oracle.is_lost(trial.trial_id) and self.lock.acquire(blocking=False):
            try:
                self.oracle.adopt(trial.trial_id)  # it ran when the chief was restarted
            finally:
                self.lock.release()
        answer = Trial(keras_tuner.HyperParameters(), trial.trial_id, trial.status)
        return protos.get_service().GetTrialResponse(trial=answer.to_proto())

    def EndTrial(self, request, context):
        self._require(request.trial.trial_id, context)
        trial = self.oracle.trials[request.trial.trial_id]
        outcome = None
        if trial.status == TrialStatus.RUNNING:  # not if two workers ran it
            path = self.oracle.trial_folder(trial.trial_id) / OUTCOME
            try:
                outcome = kept_outcome(path, self.oracle.objective.name)
            except RunError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return self._end_trial(request, context, trial, outcome)

    @_serialized
    def _end_trial(self, request, context, trial, outcome):
        if trial.status == TrialStatus.RUNNING and outcome:
            end_trial(self.oracle, trial, outcome)
            self.ended.append(trial)
        return protos.get_service().EndTrialResponse()

    def reassign(self, worker=None):
        """Put back the trials of dead workers, for the next workers that request one.

        Args:
            worker: Name of a dead worker; None for all silent workers.

        Returns:
            {worker: trial's id}.
        """
        with self.lock:
            now = time.monotonic()
            if now - self._looked > 2 * BEAT:  # this process was suspended and missed heartbeats
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
        """Return whether all trials have ended and no worker is still waiting."""
        if self.failure:
            raise RunError(f"the sweep's oracle failed: {self.failure}") from self.failure
        recently = time.monotonic() - 3 * BEAT
        with self.lock:
            waiting = any(asked > recently for asked in self._idle.values())
            return self.stop_triggered and not self.oracle.pending() and not waiting


class Worker:
    """Client of a Chief.

    Args:
        address: HOST:PORT of the chief.
        name: Name of the worker.
        folder: Folder of the sweep, shared with the chief, as a pathlib.Path.
        patience: Seconds after which a silent chief counts as dead.
    """

    def __init__(self, address, name, folder, patience):
        self.address, self.name, self.folder, self.patience = address, name, folder, patience
        oracle_client.TIMEOUT = min(DEADLINE, patience)  # keras-tuner's is an hour
        before = {variable: os.environ.get(variable) for variable in ENVIRONMENT}
        values = (*address.rpartition(":")[::2], name)
        os.environ.update(zip(ENVIRONMENT, values, strict=True))  # OracleClient reads them once
        self._client = oracle_client.OracleClient(None)
        for variable, value in before.items():
            os.environ.pop(variable)
            if value is not None:
                os.environ[variable] = value
        # Not through an HTTP proxy, which would not find this machine's own address.
        channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._client.stub = protos.get_service_grpc().OracleStub(channel)
        self.deserted = None

    def wait_for_chief(self):
        """Wait until the chief answers. Raises RunError if it does not."""
        if not self._answers():
            raise self._gone()

    def next_trial(self):
        """Return the Trial to run now, waiting if necessary; None if the sweep is over."""
        while True:
            trial = self._ask("create_trial", self.name)
            if trial.status == TrialStatus.STOPPED:
                return None
            if trial.status == TrialStatus.RUNNING:
                path = trial_folder(self.folder, trial.trial_id) / TRIAL
                return Trial.from_state(read_json(path))
            time.sleep(BEAT)

    def runs(self, trial):
        """Return whether a trial is still running; another worker may have ended it."""
        return self._ask("get_trial", trial.trial_id).status == TrialStatus.RUNNING

    def end_trial(self, trial, outcome):
        """Write the Outcome of a trial, then notify the chief."""
        path = trial_folder(self.folder, trial.trial_id) / OUTCOME
        write_json(path, dataclasses.asdict(outcome))
        self._ask("end_trial", trial)

    @contextlib.contextmanager
    def alive(self, trial):
        """Context manager: send heartbeats for a trial.

        If the chief does not answer, training stops as after Ctrl-C, and `deserted` is the error.
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
        """Call the service, and repeat the call while the chief is busy or restarting."""
        while True:
            try:
                return getattr(self._client, what)(*values)
            except grpc.RpcError as error:
                if error.code() in FINAL:
                    message = f"the chief at {self.address} has failed: {error.details()}"
                    raise RunError(message) from error
                if not self._answers():
                    raise self._gone() from error

    def _answers(self):
        """Return whether the chief answers a call that never blocks, within `patience` seconds."""
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
            f"no chief has answered at {self.address} for {self.patience:g} seconds: restart the "
            "chief with its command, then this worker"
        )
