"""What a run was made with and where it shows: machine, versions, terminal or not."""

import importlib.metadata
import os
import platform
import sys

from cvcourse import __version__

PACKAGES = ("keras", "tensorflow", "numpy")


def machine():
    """Such as "2 CPU cores (x86_64)", or the accelerators' names in front of it."""
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    accelerators = [detail.get("device_name", "GPU") for detail in details]
    return ", ".join([*accelerators, f"{os.cpu_count()} CPU cores ({platform.machine()})"])


def versions():
    """{package: version} of Python, cvcourse and PACKAGES."""
    found = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version(), "cvcourse": __version__, **found}


def is_interactive():
    """Whether a progress bar is seen: in a terminal or a notebook."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules
