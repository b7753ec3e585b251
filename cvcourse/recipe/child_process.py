"""A function call in a child process, which ends when its parent dies.

Functions are pickled by name, as in multiprocessing. The child imports the script that started the
run only if it defines one of them, so other scripts need no `if __name__ == "__main__"`.
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

INTERRUPTED = 130  # exit code of a process that was interrupted
START = "import sys; sys.path[:] = {}; from cvcourse.recipe import child_process as c; c.main()"


class ChildProcess(subprocess.Popen):
    """A process that calls a function and sends the result or error to its parent.

    It has its own session, so that Ctrl-C reaches it only through its parent.

    Args:
        function: Function without arguments that `require_importable` accepts.
        log: File to which its output is appended, as a pathlib.Path.
    """

    def __init__(self, function, log):
        task = pickle.dumps(function)
        script = spawn.get_preparation_data("child")
        del script["authkey"]  # a secret, which cannot be pickled
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
            The function's result; None if the process was killed.

        Raises:
            InUse: If the function raised it.
            RunError: If the function raised another error.
            KeyboardInterrupt: After the process was interrupted and has ended.
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
    """Run the child's side of a ChildProcess."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # its output goes into the log
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
        with contextlib.suppress(OSError):  # the log's disk may be full
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
    """End this process at once when `parent` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _prepare(script):
    """Set up the parent's paths and, if needed, import its script."""
    process = multiprocessing.current_process()
    process._inheriting = True
    try:
        spawn.prepare(script)
    except SystemExit as error:
        raise UsageError(str(error)) from error
    finally:
        del process._inheriting


def require_guard():
    """Exit with an error if a child process imports a script that starts a run on import."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(
            "worker processes import this script for its functions: start the sweep under "
            'if __name__ == "__main__":'
        )


def require_importable(function, why):
    """Check that another process can import a function.

    Args:
        function: The function, or a functools.partial of one.
        why: Reason for the import, such as a flag; the error begins with it.

    Raises:
        UsageError: If the function cannot be imported by its name.
    """
    try:
        pickle.dumps(function)
        in_main = getattr(function, "__module__", "") == "__main__"
        if in_main and not hasattr(sys.modules["__main__"], "__file__"):
            raise ValueError("it is defined in a notebook or a terminal")
    except Exception as error:
        raise UsageError(
            f"{why}: define functions for other processes at the top level of a module: {error}"
        ) from error
