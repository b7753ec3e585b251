"""Units that follow a property, in a net whose units are known, and colors of their values."""

import keras
import numpy as np
import pytest

from cvcourse import figures
from cvcourse.sequence._interpretable_units import PROPERTIES, interpretable_units

TEXT = 'Ab c\n"(X' + 'y)" z,\n'


def test_properties_of_each_character():
    found = {name: [*map(int, values(TEXT))] for name, values in PROPERTIES.items()}
    assert found == {
        #                       A  b     c  \n "  (  X  y  )  "     z  ,  \n
        "the position in the line": [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        "the length of the word so far": [1, 2, 0, 1, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 0],
        "capitals": [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        "the start of a line": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "quoted text": [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        "text in brackets": [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0],
        "punctuation": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    }


def test_the_unit_that_follows_best_is_found():
    """A net whose unit 1 is -1 at capitals, and whose others are noise or nothing."""
    tokens = np.array([ord(character) for character in TEXT], "int32")
    table = np.zeros((128, 3), "float32")
    table[:, 0] = np.random.default_rng(0).normal(size=128)
    table[[ord("A"), ord("X")], 1] = -1
    given = keras.Input((None,), dtype="int32")
    features = keras.layers.Embedding(128, 3, name="features")
    model = keras.Model(given, features(given))
    features.set_weights([table])
    units = interpretable_units(model, tokens, TEXT)
    assert units["capitals"].index == 1
    assert units["capitals"].correlation == pytest.approx(-1)
    np.testing.assert_array_equal(units["capitals"].values, table[tokens, 1])
    wanted = PROPERTIES["the position in the line"](TEXT)
    expected = [np.corrcoef(wanted, table[tokens, unit])[0, 1] for unit in (0, 1)]
    place = units["the position in the line"]
    assert place.index == np.abs(expected).argmax()
    assert place.correlation == pytest.approx(expected[place.index], rel=1e-4)


def test_what_is_the_same_everywhere_is_followed_by_nothing():
    given = keras.Input((None,), dtype="int32")
    model = keras.Model(given, keras.layers.Embedding(128, 3, name="features")(given))
    units = interpretable_units(model, np.array([97, 98], "int32"), "ab")
    places = {"the position in the line", "the length of the word so far", "the start of a line"}
    assert units.keys() == places


def test_colors_go_from_blue_over_gray_to_red():
    """The ends and the middle of Moreland's diverging color map."""
    pairs = figures.colored_text("abc", [-1, 0, 1])
    assert pairs == [("a", "#3b4cc0"), ("b", "#dddcdc"), ("c", "#b40426")]
