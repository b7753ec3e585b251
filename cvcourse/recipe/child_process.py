"""A function call in a process of its own, which ends when its parent dies.

Functions travel by name, as with multiprocessing. The script that began the run is imported only
where it defines one of them, so a script without such functions needs no guard.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from multiprocessing import spawn

from cvcourse import source_file
from cvcourse.errors import Interrupted, InUse, RunError, UsageError
from cvcourse.interrupt import handling, terminate
from cvcourse.recipe.command_line import exit_code
from cvcourse.recipe.workdir import continued_by, whole_command
from cvcourse.startup import import_tensorflow_quietly

INTERRUPTED = 130  # exit code of a process that was asked to stop
START = "import sys; sys.path[:] = {}; from cvcourse.recipe import child_process as c; c.main()"


class ChildProcess(subprocess.Popen):
    """A process that calls a function and keeps what it returns or raises for its parent.

    It leads a session of its own: Ctrl-C reaches it once, through its parent.

    Args:
        function: Function without arguments that `require_importable` accepts.
        log: pathlib.Path of the file to which its output is appended.
    """

    def __init__(self, function, log):
        task = pickle.dumps(function)
        script = spawn.get_preparation_data("child")
        del script["authkey"]  # a secret, which refuses to be pickled
        if b"__main__" not in task:
            script = {key: script[key] for key in script if not key.startswith("init_main")}
        words = [sys.executable, "-c", START.format(sys.path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with open(log, "ab") as file:
            super().__init__(words, stderr=file, start_new_session=True, **pipes)
        with contextlib.suppress(BrokenPipeError), self.stdin:  # it may be dead already
            held = source_file.held()
            pickle.dump((os.getpid(), whole_command() or "", held, script, task), self.stdin)

    def answer(self):
        """Wait for the end of the process.

        Returns:
            What the function returned; None if the process was killed.

        Raises:
            InUse, RunError: What the function raised, as one of these two.
            KeyboardInterrupt: After asking the process to stop, and waiting for that.
        """
        try:
            with self.stdout:
                answer = self.stdout.read()
            self.wait()
        except KeyboardInterrupt:
            self.terminate()  # it writes its checkpoint
            self.wait()
            raise
        answer = pickle.loads(answer) if answer else None
        if isinstance(answer, Exception):
            raise answer
        return answer


def main():
    """Run as the child of a ChildProcess."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what it prints goes into the log
    parent, command, held, script, task = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_die_with, args=[parent], daemon=True).start()
    code = 0
    try:
        with (
            handling(terminate, signal.SIGTERM),
            continued_by(command),
            source_file.holding((), held),
        ):
            import_tensorflow_quietly()
            _prepare(script)
            answer = pickle.loads(task)()
    except (Interrupted, KeyboardInterrupt) as error:
        with contextlib.suppress(OSError):  # the disk of the log may be full
            print(exit_code(error)[1], flush=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        answer = (InUse if isinstance(error, InUse) else RunError)(exit_code(error)[1])
        code = 1
    answers.write(pickle.dumps(answer))
    answers.close()
    sys.exit(code)


def _die_with(parent):
    """End this process, as a power cut would, once `parent` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _prepare(script):
    """Take over the parent's paths and, where it is needed, import its script."""
    process = multiprocessing.current_process()
    process._inheriting = True
    try:
        spawn.prepare(script)
    except SystemExit as error:
        raise UsageError(str(error)) from error
    finally:
        del process._inheriting


def require_guard():
    """End the import of a script by a child process where the script itself begins a run."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(
            "other processes need this script's functions: it begins its sweep under: "
            'if __name__ == "__main__":'
        )


def require_importable(function, why):
    """Check that another process can have a function.

    Args:
        function: The function, or a functools.partial of one.
        why: What needs it, such as a flag: the error begins with it.

    Raises:
        UsageError: If the function cannot be found by its name.
    """
    try:
        pickle.dumps(function)
        in_main = getattr(function, "__module__", "") == "__main__"
        if in_main and not hasattr(sys.modules["__main__"], "__file__"):
            raise ValueError("it is defined in a notebook or a terminal")
    except Exception as error:
        raise UsageError(
            f"{why}: a function that other processes need stands at the top level of a module: "
            f"{error}"
        ) from error
