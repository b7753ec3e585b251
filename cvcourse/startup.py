"""Import TensorFlow without its messages: standard error is for messages to the user."""

import contextlib
import logging
import os

from cvcourse.errors import UsageError
from cvcourse.settings import (
    configured,
    keras_json,
    require_backend,
    require_supported_settings,
)


def import_tensorflow_quietly():
    """Import Keras and TensorFlow while the standard error of the process is discarded.

    TensorFlow's C++ code prints before it reads any log level. Errors are still raised. Later,
    TensorFlow does not warn of "retracing", as it does if a process trains several networks.

    Raises:
        UsageError: If recipes do not run with the backend or another setting of Keras. The message
            names KERAS_BACKEND or the setting.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").addFilter(_is_not_of_retracing)  # only once
    try:
        require_backend()
        with standard_error_closed():
            try:
                import keras  # noqa: F401
            except (ValueError, AssertionError) as error:  # the message depends on the version
                raise ValueError(
                    f"Keras does not accept a setting in {keras_json()}: {configured()}"
                ) from error
            import tensorflow  # noqa: F401
        require_supported_settings()
    except ValueError as error:
        raise UsageError(str(error)) from error


def _is_not_of_retracing(record):
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def standard_error_closed():
    """Context manager: discard output to file descriptor 2, also of C++ code."""
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
