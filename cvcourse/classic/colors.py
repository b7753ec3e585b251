"""Hue, saturation and value of colors: Smith 1978, https://doi.org/10.1145/965139.807361."""

import numpy as np


def rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    """Convert colors to hue, saturation and value.

    Args:
        rgb: Red, green and blue from 0 to 1, (..., 3).

    Returns:
        Hue, saturation and value from 0 to 1, (..., 3). Grays have hue 0.

    >>> rgb_to_hsv(np.array([0.0, 0.5, 0.0])).round(3)
    array([0.333, 1.   , 0.5  ])
    """
    red, green, blue = np.moveaxis(np.asarray(rgb), -1, 0)
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    some = np.where(spread > 0, spread, 1)
    hue = np.select(
        [value == blue, value == green],
        [4 + (red - green) / some, 2 + (blue - red) / some],
        (green - blue) / some,
    )
    saturation = spread / np.where(value > 0, value, 1)
    return np.stack([np.where(spread > 0, hue / 6 % 1, 0), saturation, value], axis=-1)
