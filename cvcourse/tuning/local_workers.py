"""Workers of a sweep as processes on this machine."""

import contextlib
import functools
import signal
import subprocess

from cvcourse.errors import RunError
from cvcourse.recipe.child_process import INTERRUPTED, ChildProcess

LINGER = 5.0  # seconds to wait for a worker to notice the end of the sweep


class LocalWorkers:
    """Worker processes of a sweep on this machine.

    A killed worker is restarted, and its trial is assigned to the next worker that requests one. An
    error of a worker ends the sweep.

    Args:
        count: Number of workers; may be 0.
        work: Function of a worker's name that `require_importable` accepts.
        chief: The Chief that assigns trials to them.
        log_of: Function of a worker's name that returns the path of its log.
        deaths: Maximum number of killed workers while no trial ends.
    """

    def __init__(self, count, work, chief, *, log_of, deaths):
        self.work, self.chief, self.log_of = work, chief, log_of
        self.most_deaths, self.deaths = deaths, 0
        self.processes = {f"{number}": self._start(f"{number}") for number in range(1, count + 1)}

    def _start(self, name):
        return ChildProcess(functools.partial(self.work, name), self.log_of(name))

    def look_after(self):
        """Restart killed workers, with a message.

        Raises:
            RunError: If one ended with an error, or too many were killed while no trial ended.
        """
        if self.chief.ended:
            self.deaths = 0
        for name, process in self.processes.items():
            if not (code := process.poll()):  # it runs, or has ended with the sweep
                continue
            log = self.log_of(name)
            if code > 0 and code != INTERRUPTED:
                reason = f"it ended with code {code}: see {log}"
                try:
                    process.answer()
                except RunError as error:
                    reason = error
                raise RunError(f"worker {name}: {reason}")
            self.deaths += 1
            killed = f"killed by {signal.Signals(-code).name}" if code < 0 else "interrupted"
            if self.deaths > self.most_deaths:
                raise RunError(
                    f"worker {name} was {killed}; number of killed workers while no trial ended: "
                    f"{self.deaths}; see {log}"
                )
            given = self.chief.reassign(name)
            again = "".join(f"; trial {trial_id} is resumed" for trial_id in given.values())
            print(f"worker {name} was {killed}{again}", flush=True)
            self.processes[name] = self._start(name)

    @contextlib.contextmanager
    def at_work(self):
        """Context manager: run the workers; at the end each stops after its current step."""
        try:
            yield
            for process in self.processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LINGER)
        finally:
            for process in self.processes.values():
                process.terminate()
            for process in self.processes.values():
                process.wait()
