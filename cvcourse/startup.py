"""Start TensorFlow without its greetings: standard error is for what concerns the user."""

import contextlib
import os


@contextlib.contextmanager
def standard_error_closed():
    """Context manager: drop what C++ code prints on standard error, which knows no log level.

    Python's own lines are dropped too; what goes wrong still raises.
    """
    try:
        kept = os.dup(2)
    except OSError:  # it is closed already
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def import_tensorflow_quietly():
    """Import TensorFlow without its greetings, which come before any log level is read."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with standard_error_closed():
        import tensorflow  # noqa: F401
