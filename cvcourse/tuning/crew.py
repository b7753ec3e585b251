"""The workers of a sweep that are processes on this machine."""

import contextlib
import multiprocessing
import signal

from cvcourse.errors import RunError

SIGTERM_CODE = 130  # of a recipe that was asked to stop
LINGER = 5.0  # seconds for a worker to hear that the sweep is over


class Crew:
    """`count` processes that run `target(name, address, pipe)`; a killed one is started again.

    Its trial goes to the next that asks. One that ends with an error of its own ends the sweep:
    it sends the reason through its end of the pipe, or `log_of(name)` is the file that says why.
    """

    def __init__(self, count, target, chief, address, *, log_of, deaths):
        self.target, self.chief, self.address = target, chief, address
        self.log_of, self.most_deaths, self.deaths = log_of, deaths, 0
        # A fork of a process with TensorFlow's threads in it hangs.
        self.context = multiprocessing.get_context("spawn")
        self.pipes = {}
        self.processes = {f"{number}": self._start(f"{number}") for number in range(1, count + 1)}

    def _start(self, name):
        self.pipes[name], pipe = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=self.target, args=(name, self.address, pipe), name=f"worker {name}", daemon=True
        )
        process.start()
        pipe.close()  # the worker has it
        return process

    def _reason(self, name, code):
        try:
            return self.pipes[name].recv()
        except EOFError:
            return f"it ended with code {code}, and {self.log_of(name)} says why"

    def look_after(self):
        """Start those again that were killed, and say so.

        Raises RunError for one that ended with an error, and where workers are killed again and
        again while no trial ends.
        """
        if self.chief.ended:
            self.deaths = 0
        for name, process in self.processes.items():
            if not (code := process.exitcode):  # it runs, or was told that the sweep is over
                continue
            if code > 0 and code != SIGTERM_CODE:
                raise RunError(f"worker {name}: {self._reason(name, code)}")
            self.deaths += 1
            killed = f"killed by {signal.Signals(-code).name}" if code < 0 else "asked to stop"
            if self.deaths > self.most_deaths:
                raise RunError(
                    f"worker {name} was {killed}, the {self.deaths}th time that one is gone while "
                    f"no trial ended: {self.log_of(name)} may say why"
                )
            given = self.chief.hand_over(name)
            said = "".join(f"; trial {trial_id} is begun again" for trial_id in given.values())
            print(f"worker {name} was {killed}{said}", flush=True)
            self.processes[name] = self._start(name)

    @contextlib.contextmanager
    def at_work(self):
        """Inside, they work; afterwards they are gone: asked to, and each at its next step."""
        try:
            yield self
            for process in self.processes.values():
                process.join(LINGER)
        finally:
            for process in self.processes.values():
                process.terminate()
            for process in self.processes.values():
                process.join()
