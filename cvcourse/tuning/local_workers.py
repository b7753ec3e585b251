"""The workers of a sweep that are processes on this machine."""

import contextlib
import functools
import signal
import subprocess

from cvcourse.errors import RunError
from cvcourse.recipe.child_process import INTERRUPTED, ChildProcess

LINGER = 5.0  # seconds for a worker to hear that the sweep is over


class LocalWorkers:
    """Processes that train; a killed one is started again.

    Its trial goes to the next that asks. One that ends with an error of its own ends the sweep.

    Args:
        count: How many; may be 0.
        work: Function of a worker's name that `require_importable` accepts.
        chief: The Chief that gives them trials.
        log_of: Function of a worker's name that returns the path of its log.
        deaths: How often workers may be killed while no trial ends.
    """

    def __init__(self, count, work, chief, *, log_of, deaths):
        self.work, self.chief, self.log_of = work, chief, log_of
        self.most_deaths, self.deaths = deaths, 0
        self.processes = {f"{number}": self._start(f"{number}") for number in range(1, count + 1)}

    def _start(self, name):
        return ChildProcess(functools.partial(self.work, name), self.log_of(name))

    def look_after(self):
        """Start those again that were killed, and print that.

        Raises:
            RunError: If one ended with an error, or workers are killed again and again while no
                trial ends.
        """
        if self.chief.ended:
            self.deaths = 0
        for name, process in self.processes.items():
            if not (code := process.poll()):  # it runs, or was told that the sweep is over
                continue
            log = self.log_of(name)
            if code > 0 and code != INTERRUPTED:
                reason = f"it ended with code {code}, and {log} says why"
                try:
                    process.answer()
                except RunError as error:
                    reason = error
                raise RunError(f"worker {name}: {reason}")
            self.deaths += 1
            killed = f"killed by {signal.Signals(-code).name}" if code < 0 else "asked to stop"
            if self.deaths > self.most_deaths:
                raise RunError(
                    f"worker {name} was {killed}, the {self.deaths}th time that one is gone while "
                    f"no trial ended: {log} may say why"
                )
            given = self.chief.reassign(name)
            again = "".join(f"; trial {trial_id} is begun again" for trial_id in given.values())
            print(f"worker {name} was {killed}{again}", flush=True)
            self.processes[name] = self._start(name)

    @contextlib.contextmanager
    def at_work(self):
        """Context manager: they work; afterwards they are gone: asked to, each at its next step."""
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
