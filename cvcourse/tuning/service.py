"""Several workers on one sweep: keras-tuner's chief and its clients, such that all of them end.

keras-tuner 1.4.8's chief waits for ever for a worker that died, and its worker an hour for a chief;
an error in the oracle leaves its lock held; values travel in single precision, and the reason of a
failure not at all. Here a worker is heard of every few seconds or its trial becomes another's, and
what a trial's values are and how it ended stands in the trial's folder, which all of them share.
"""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import threading
import time
from concurrent import futures

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client
from keras_tuner.src.engine.trial import Trial, TrialStatus

from cvcourse.errors import RunError, UsageError
from cvcourse.files import write_json
from cvcourse.tuning.oracle import OUTCOME, TRIAL, Outcome, end_trial

BEAT = 2.0  # seconds between a worker's signs of life
LOOPBACK = "127.0.0.1"
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


def _answering(method):
    """A service's method, one call at a time, whose failure the chief's own loop gets to see."""

    @functools.wraps(method)
    def answer(self, request, context):
        with self.lock:
            try:
                return method(self, request, context)
            except Exception as error:
                self.failure = error
                context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    return answer


class Chief(oracle_chief.OracleServicer):
    """Serves an oracle of ours to workers; what is `patience` seconds silent counts as dead."""

    def __init__(self, oracle, patience):
        super().__init__(oracle)
        self.patience, self.failure, self.lock = patience, None, threading.RLock()
        self.ended = []  # trials, in the order in which they ended
        self._heard = {}  # {trial's id: when its worker was last heard of}
        self._idle = {}  # {worker: when it last asked in vain and was told to wait}

    @contextlib.contextmanager
    def serving(self, address):
        """Serve at HOST:PORT, port 0 for any free one; yields the address. Raises UsageError."""
        one_thread = futures.ThreadPoolExecutor(1)
        # Without it two chiefs share a port, and each gets half of the calls.
        server = grpc.server(one_thread, options=[("grpc.so_reuseport", 0)])
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

    @_answering
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

    @_answering
    def GetTrial(self, request, context):
        self._heard[request.trial_id] = time.monotonic()
        return super().GetTrial(request, context)

    @_answering
    def EndTrial(self, request, context):
        trial = self.oracle.trials[request.trial.trial_id]
        if trial.status == TrialStatus.RUNNING:  # or else two workers had it
            kept = (self.oracle.trial_folder(trial.trial_id) / OUTCOME).read_text()
            end_trial(self.oracle, trial, Outcome(**json.loads(kept)))
            self.ended.append(trial)
        return protos.get_service().EndTrialResponse()

    def hand_over(self, worker=None):
        """Give the trial of a worker that died to the next one that asks, or, without a name,
        those of all that are silent. Returns {worker: trial's id}.
        """
        now = time.monotonic()
        with self.lock:
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
        values = (*address.rpartition(":")[::2], name)
        os.environ.update(zip(ENVIRONMENT, values, strict=True))
        oracle_client.TIMEOUT = patience  # keras-tuner's is an hour
        self.address, self.name, self.folder, self.patience = address, name, folder, patience
        self._client = oracle_client.OracleClient(None)
        self.deserted = False

    def wait_for_chief(self):
        """Return once it answers. Raises RunError where it does not."""
        self._ask("get_space")

    def next_trial(self):
        """The Trial to run now, waiting for one if need be; None where the sweep is over."""
        while True:
            trial = self._ask("create_trial", self.name)
            if trial.status == TrialStatus.STOPPED:
                return None
            if trial.status == TrialStatus.RUNNING:
                path = self.folder / "trials" / trial.trial_id / TRIAL
                return Trial.from_state(json.loads(path.read_text()))
            time.sleep(BEAT)

    def runs(self, trial):
        """Whether a trial is still to be run; another worker may have ended it."""
        return self._ask("get_trial", trial.trial_id).status == TrialStatus.RUNNING

    def end_trial(self, trial, outcome):
        """Write down an Outcome, then say that there is one."""
        folder = self.folder / "trials" / trial.trial_id
        write_json(folder / OUTCOME, dataclasses.asdict(outcome))
        self._ask("end_trial", trial)

    @contextlib.contextmanager
    def alive(self, trial):
        """Inside, the chief hears of this worker. If it does not answer, training stops as by
        Ctrl-C and RunError is raised.
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
        try:
            return getattr(self._client, what)(*values)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INTERNAL:
                raise RunError(
                    f"the chief at {self.address} has failed: {error.details()}"
                ) from error
            raise RunError(
                f"no chief answers at {self.address} for {self.patience:g} seconds: start it again "
                "with its command, then this worker"
            ) from error
