"""The type of the tables SOURCES: {SOURCE.NAME: (our network, its settings in that form)}."""

from typing import Any

Sources = dict[str, tuple[str, dict[str, Any]]]
