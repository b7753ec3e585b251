"""Start TensorFlow without its greetings: standard error is for what concerns the user."""

import os


def import_tensorflow_quietly():
    """Import TensorFlow with the process' standard error closed meanwhile.

    Its C++ side greets before any log level is read. What goes wrong still raises.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        kept = os.dup(2)
    except OSError:  # it is closed already
        import tensorflow

        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
