"""Shapes of arrays, checked against a layout such as "x N D, w D M, b M"."""

import functools

import numpy as np


def sizes(layout: str, *arrays: np.ndarray) -> dict[str, int]:
    """Return the size of each dimension that a layout names, or refuse arrays that do not fit it.

    Args:
        layout: Names and dimensions of the arrays, separated by commas. Dimensions with the same
            letter have the same size; a number is a size.
        *arrays: Arrays, in the order of the layout.

    Returns:
        {letter: size}.

    Raises:
        ValueError: If the shapes do not fit; the message has all of them.

    >>> sizes("x N D, w D M", np.zeros((5, 3)), np.zeros((3, 7)))
    {'N': 5, 'D': 3, 'M': 7}
    >>> sizes("x N D, w D M", np.zeros((5, 3)), np.zeros((4, 7)))
    Traceback (most recent call last):
    ValueError: shapes do not fit: x (5, 3), w (4, 7); expected x (N, D), w (D, M)
    """
    expected = _parsed(layout)
    found: dict[str, int] = {}
    fits = True
    for (_, letters), array in zip(expected, arrays, strict=True):
        shape = np.shape(array)
        fits &= len(shape) == len(letters)
        for letter, size in zip(letters, shape, strict=False):
            wanted = int(letter) if letter.isdigit() else found.setdefault(letter, size)
            fits &= wanted == size
    if not fits:
        given = ", ".join(
            f"{name} {np.shape(array)}" for (name, _), array in zip(expected, arrays, strict=True)
        )
        layouts = ", ".join(f"{name} ({', '.join(letters)})" for name, letters in expected)
        raise ValueError(f"shapes do not fit: {given}; expected {layouts}")
    return found


def floating(x: np.ndarray) -> np.ndarray:
    """Return integers and booleans in float64, and other arrays as they are.

    Args:
        x: Array of any type; results would be truncated to integers such as pixels.

    Returns:
        The array, or a copy.

    >>> floating(np.array([1, 2], np.uint8)).dtype, floating(np.zeros(2, np.float32)).dtype
    (dtype('float64'), dtype('float32'))
    """
    return x.astype(np.float64) if x.dtype.kind in "biu" else x


def check_gradient(dout: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the gradient of the outputs does not have their shape.

    Args:
        dout: Gradient of the outputs.
        shape: Shape of the outputs.

    Raises:
        ValueError: If the shapes differ.

    >>> check_gradient(np.zeros(3), (4,))
    Traceback (most recent call last):
    ValueError: shapes do not fit: dout (3,), outputs (4,); they are equal
    """
    if np.shape(dout) != tuple(shape):
        raise ValueError(
            f"shapes do not fit: dout {np.shape(dout)}, outputs {tuple(shape)}; they are equal"
        )


@functools.cache
def _parsed(layout):
    return [(name, letters) for name, *letters in map(str.split, layout.split(","))]
