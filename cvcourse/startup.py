"""Start TensorFlow without its greetings: standard error is for what concerns the user."""

import contextlib
import os

from cvcourse.errors import UsageError
from cvcourse.settings import (
    configured,
    keras_json,
    require_backend,
    require_supported_settings,
)


def import_tensorflow_quietly():
    """Import Keras and TensorFlow with the process' standard error closed meanwhile.

    TensorFlow's C++ side greets before any log level is read. What goes wrong still raises.

    Raises:
        UsageError: If Keras' backend or a setting of the process is none that recipes can work
            with; names KERAS_BACKEND or the setting.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        require_backend()
        with standard_error_closed():
            try:
                import keras  # noqa: F401
            except (ValueError, AssertionError) as error:  # in words of a version's own
                raise ValueError(
                    f"Keras does not take a setting of {keras_json()}: {configured()}"
                ) from error
            import tensorflow  # noqa: F401
        require_supported_settings()
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextlib.contextmanager
def standard_error_closed():
    """Context manager: discard what is written to descriptor 2, by C++ code that knows no level."""
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
