"""The range of an array's pixels, recognized by its type and values, and brought to 0..255.

A model of ours takes 0..255, so a model that learned from 0..1 would be wrong on every photo.
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
WHOLE = 0.1  # as near to whole numbers are 8-bit pixels that went through float16
AT_ONCE = 2**24  # values


def recognize(images: np.ndarray) -> str | None:
    """Recognize the range that pixels are in.

    They must lie in it and reach beyond half of it, on both sides of 0 where it has two. 16 bits
    are recognized as uint16 alone; uint8 may be dark, but not 0 and 1 alone.

    Args:
        images: array of finite numbers, of any shape.

    Returns:
        A name of RANGES, or None for pixels in none of them and for ambiguous ones.
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
    """Whether pixels, maybe of few and dark images, can be of a range that others are in."""
    low, high = images.min(), images.max()
    if low == high == 0:
        return True
    own = recognize(images)
    bright = high >= RANGES[name][1] / 10 or own == name
    return bright and own in (None, name) and _lies_within(low, high, name)


def to_bytes(images: np.ndarray, name: str) -> np.ndarray:
    """Bring pixels of a range to 0..255.

    Args:
        images: array of any shape.
        name: the range, of RANGES.

    Returns:
        Array of the same shape: uint8 where the pixels are whole numbers then, to within rounding
        errors, else float32. Of 16 bits the upper 8 are kept, as of photos.
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
