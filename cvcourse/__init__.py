"""Stanford's computer-vision course CS231n as working software in Keras 3."""

import importlib
import typing

__version__ = "0.9.0"

PACKAGES = (
    *(
        "classic",
        "compression",
        "data",
        "distribution",
        "figures",
        "layers",
        "models",
        "optimization",
    ),
    *("recipe", "recipes", "regularization", "sequence", "training", "tuning", "visualization"),
)

__all__ = ["__version__"]  # a star import must not import TensorFlow

if typing.TYPE_CHECKING:
    from cvcourse import (  # noqa: F401
        classic,
        compression,
        data,
        distribution,
        figures,
        layers,
        models,
        optimization,
        recipe,
        regularization,
        sequence,
        training,
        tuning,
        visualization,
    )


def __getattr__(name: str) -> typing.Any:
    """Import a package on first use (PEP 562): `import cvcourse` alone imports nothing heavy."""
    if name in PACKAGES:
        return importlib.import_module(f"cvcourse.{name}")
    raise AttributeError(f"module 'cvcourse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*PACKAGES, *(name for name in globals() if name.startswith("__"))})
