"""Type of the tables SOURCES: {SOURCE.NAME: (our network, its settings in the source's form)}."""

from typing import Any

Sources = dict[str, tuple[str, dict[str, Any]]]
