"""Units of a net: the text they read, colored by their values."""


def colored_text(text, values):
    """Color the characters of a text: blue for -1, gray for 0, red for 1.

    Args:
        text: n characters.
        values: Numbers (n,); what is outside -1..1 has the color of the end.

    Returns:
        n pairs (character, color), the color as "#rrggbb".
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    paint = colormaps["coolwarm"]
    return [
        (character, to_hex(paint((value + 1) / 2)))
        for character, value in zip(text, values, strict=True)
    ]
