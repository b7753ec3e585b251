"""Units of a recurrent net that follow a property of the text it reads.

Karpathy, Johnson & Fei-Fei, "Visualizing and Understanding Recurrent Networks", 2015,
https://arxiv.org/abs/1506.02078, show such units; here they are found by correlation.
"""

import dataclasses

import keras
import numpy as np

PROPERTIES = {  # functions from a text to a number for each of its characters
    "the position in the line": lambda text: [i - text.rfind("\n", 0, i) for i in range(len(text))],
    "the length of the word so far": lambda text: [
        i - max(text.rfind(" ", 0, i + 1), text.rfind("\n", 0, i + 1)) for i in range(len(text))
    ],
    "capitals": lambda text: [char.isupper() for char in text],
    "the start of a line": lambda text: [i == 0 or text[i - 1] == "\n" for i in range(len(text))],
    "quoted text": lambda text: [text.count('"', 0, i + 1) % 2 for i in range(len(text))],
    "text in brackets": lambda text: [
        sum(text.count(char, 0, i + 1) for char in "([")
        > sum(text.count(char, 0, i + 1) for char in ")]")
        for i in range(len(text))
    ],
    "punctuation": lambda text: [char in ".,;:!?" for char in text],
}


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit of a net, its correlation with a property, and its values on a text, (n,)."""

    index: int
    correlation: float
    values: np.ndarray


def interpretable_units(model: keras.Model, tokens: np.ndarray, text: str) -> dict[str, Unit]:
    """Find the unit that follows each property of a text best.

    Args:
        model: Net of tokens with a layer `features`, (batch, n, units).
        tokens: Tokens of the text, (n,).
        text: Its n characters.

    Returns:
        {property: Unit} with the correlation, in -1..1, of the largest absolute value; without the
        PROPERTIES that are constant over the text.

    >>> from cvcourse import sequence
    >>> net = sequence.build("lstm", units=8, vocabulary=3, num_classes=3, input_shape=(None,))
    >>> units = interpretable_units(net, np.array([0, 1, 2, 0]), "a Bc")
    >>> sorted(units)[:2], units["capitals"].values.shape
    (['capitals', 'the length of the word so far'], (4,))
    """
    tap = keras.Model(model.input, model.get_layer("features").output)
    states = np.asarray(tap.predict_on_batch(tokens[None])[0], "float32")
    centered = states - states.mean(0)
    found = {}
    for name, property in PROPERTIES.items():
        wanted = np.asarray(property(text), float)
        if not wanted.std():
            continue
        wanted = (wanted - wanted.mean()) / wanted.std()
        correlation = wanted @ centered / len(text) / np.maximum(states.std(0), 1e-9)
        unit = int(np.abs(correlation).argmax())
        found[name] = Unit(unit, float(correlation[unit]), states[:, unit])
    return found
