"""Units of a net: a text colored by the values of a unit."""

from __future__ import annotations

from collections.abc import Sequence


def colored_text(text: str, values: Sequence[float]) -> list[tuple[str, str]]:
    """Color the characters of a text: blue for -1, gray for 0, red for 1.

    Args:
        text: n characters.
        values: Numbers (n,); values outside -1..1 have the color of the nearer end.

    Returns:
        n pairs (character, color), the color as "#rrggbb".

    >>> colored_text("a", [1.0])
    [('a', '#b40426')]
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    paint = colormaps["coolwarm"]
    return [
        (character, to_hex(paint((value + 1) / 2)))
        for character, value in zip(text, values, strict=True)
    ]
