"""Environment of a run: machine, versions, and whether the output is interactive."""

import importlib.metadata
import os
import pathlib
import platform
import sys

from cvcourse import __version__

PACKAGES = ("keras", "tensorflow", "numpy")
VECTORS = (  # flags of /proc/cpuinfo
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimddp", "i8mm"),
)


def machine() -> str:
    """Describe this machine.

    Returns:
        A text such as "2 CPU cores (x86_64)", preceded by the names of the GPUs, if there are any.

    >>> "CPU cores" in machine()
    True
    """
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    accelerators = [detail.get("device_name", "GPU") for detail in details]
    return ", ".join([*accelerators, f"{os.cpu_count()} CPU cores ({platform.machine()})"])


def vector_extensions() -> list[str]:
    """List the vector extensions of this CPU that matter to networks.

    Returns:
        Names as in Linux' /proc/cpuinfo; none if that is not there.

    >>> set(vector_extensions()) <= set(VECTORS)
    True
    """
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [name for name in VECTORS if name in flags]


def versions() -> dict[str, str]:
    """Look up the versions of Python, cvcourse and PACKAGES.

    Returns:
        {package: version}.

    >>> sorted(versions())
    ['cvcourse', 'keras', 'numpy', 'python', 'tensorflow']
    """
    found = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version(), "cvcourse": __version__, **found}


def is_interactive():
    """Return whether the output can show a progress bar: a terminal or a notebook."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules
