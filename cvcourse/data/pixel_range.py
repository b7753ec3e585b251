"""Recognize the range of an array's pixels by its type and values, and scale it to 0..255.

Our models take 0..255: a model trained on 0..1 would be wrong for every photo.
"""

import numpy as np

RANGES = {  # name: its lowest and highest value
    "0..1": (0, 1),
    "-1..1": (-1, 1),
    "0..255": (0, 255),
    "0..65535": (0, 65535),
}
BYTES, SIXTEEN_BITS = "0..255", "0..65535"
TOLERANCE = 1e-3  # of the range, for rounding errors
WHOLE = 0.1  # largest distance to whole numbers of 8-bit pixels after float16
AT_ONCE = 2**24  # values


def recognize(images: np.ndarray) -> str | None:
    """Recognize the range of pixels.

    Pixels must be inside the range and exceed half of it, on both sides of 0 for -1..1. 16 bits are
    recognized only as uint16. uint8 pixels may be dark, but not only 0 and 1.

    Args:
        images: Array of finite numbers, of any shape.

    Returns:
        A name of RANGES; None for pixels in none of them and for ambiguous pixels.
    """
    low, high = images.min(), images.max()
    if low == high == 0 or (images.dtype == np.uint8 and high > 1):
        return BYTES
    for name, (lowest, highest) in RANGES.items():
        reaches = high > highest / 2 and (lowest == 0 or low < lowest / 2)
        known = name != SIXTEEN_BITS or images.dtype == np.uint16
        if known and reaches and _lies_within(low, high, name):
            return None if images.dtype == np.uint8 else name
    return None


def agrees(images: np.ndarray, name: str) -> bool:
    """Check whether pixels, possibly of few and dark images, can be in the range of others."""
    low, high = images.min(), images.max()
    if low == high == 0:
        return True
    own = recognize(images)
    bright = high >= RANGES[name][1] / 10 or own == name
    return bright and own in (None, name) and _lies_within(low, high, name)


def to_bytes(images: np.ndarray, name: str) -> np.ndarray:
    """Scale pixels of a range to 0..255.

    Args:
        images: Array of any shape.
        name: Name of the range, of RANGES.

    Returns:
        Array of the same shape: uint8 if the scaled pixels are whole numbers up to rounding errors,
        otherwise float32. Of 16 bits the upper 8 are kept, as for photos.
    """
    if images.dtype == np.uint8 and name == BYTES:
        return images
    if images.dtype == np.uint16 and name == SIXTEEN_BITS:
        return (images >> 8).astype("uint8")
    lowest, highest = RANGES[name]
    scaled = images.astype("float32")
    scaled -= lowest
    scaled *= 255 / (highest - lowest)
    np.clip(scaled, 0, 255, out=scaled)
    parts = np.array_split(scaled, max(1, scaled.size // AT_ONCE))
    if all(abs(part - part.round()).max() <= WHOLE for part in parts if part.size):
        return np.concatenate([part.round().astype("uint8") for part in parts])
    return scaled


def _lies_within(low, high, name):
    lowest, highest = RANGES[name]
    slack = TOLERANCE * (highest - lowest)
    return lowest - slack <= low and high <= highest + slack
