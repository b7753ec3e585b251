"""Check and set Keras' global settings: data format, floatx, dtype policy, backend.

Keras reads them from its keras.json and from KERAS_BACKEND; a program may set them later.
"""

import contextlib
import importlib.util
import json
import os
import sys

from cvcourse.files import home

BACKENDS = ("tensorflow", "jax", "torch")  # that can train


def require_supported_settings():
    """Check Keras' image_data_format and floatx: other values would change the networks.

    Precision is chosen by a dtype policy. For double precision throughout, which a gradient check
    needs, set both floatx and the dtype policy to "float64".

    Raises:
        ValueError: If image_data_format is not "channels_last", or floatx is not "float32". The
            message names the setting, the keras.json that it comes from, and the remedy.
    """
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ValueError(_refusal("image_data_format", "channels_first", "channels_last"))
    floatx = keras.config.floatx()
    if floatx != "float32" and not floatx == chosen_dtype_policy().name == "float64":
        advice = f"{_refusal('floatx', floatx, 'float32')}; for another precision of a network "
        raise ValueError(advice + "call keras.config.set_dtype_policy")


def chosen_dtype_policy():
    """Return the dtype policy that this thread has set, or "float32".

    Keras keeps a policy for each thread. If none was set, the first read creates it from floatx.
    """
    import keras

    floatx = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        return keras.config.dtype_policy()
    finally:
        keras.config.set_floatx(floatx)


@contextlib.contextmanager
def precision(policy):
    """Context manager: set the dtype policy of layers that are created inside.

    Args:
        policy: keras.DTypePolicy or its name: float32, mixed_bfloat16 or mixed_float16.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def require_backend():
    """Check the backend that Keras uses, or will use when it is imported.

    Raises:
        ValueError: If it is not in `BACKENDS`, or not installed.
    """
    named = os.environ.get("KERAS_BACKEND")
    origin = "KERAS_BACKEND" if named else f"backend in {keras_json()}"
    backend = named or configured().get("backend", "tensorflow")
    if "keras" in sys.modules:
        backend = sys.modules["keras"].config.backend()
    known = backend in BACKENDS
    if not known or importlib.util.find_spec(backend) is None:
        problem = "is not installed" if known else "recipes do not run on"
        choices = f"set KERAS_BACKEND to one of {', '.join(BACKENDS)}"
        raise ValueError(f"{origin} is {backend!r}, which {problem}: {choices}")


def keras_json():
    """Return the path of the file that Keras reads its settings from."""
    return home("KERAS_HOME", "~/.keras") / "keras.json"


def configured():
    """Return the settings in keras.json; {} if there is no such file, or Keras ignores it."""
    try:
        settings = json.loads(keras_json().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _refusal(setting, value, needed):
    """Return the error message for a setting whose value is not the needed one."""
    inside = configured().get(setting) == value
    origin, change = (f" in {keras_json()}", "change it there or ") if inside else ("", "")
    call = f'keras.config.set_{setting}("{needed}")'
    return f"Keras' {setting} is {value!r}{origin}, networks need {needed!r}: {change}call {call}"
