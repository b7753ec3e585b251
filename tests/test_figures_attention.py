"""Pictures of attention: which part of the weights is drawn, under which names."""

import numpy as np

from cvcourse import figures
from cvcourse.figures import attention

WEIGHTS = np.random.default_rng(0).random((3, 2, 4, 6))


def labels(axis):
    return "".join(label.get_text() for label in axis.get_ticklabels())


def test_an_alignment_has_the_characters_of_each_example():
    sources, targets = ["3 may", "5 june", "1"], [["a", "b", "end"], ["c", "end"], [*"abc", "end"]]
    figure = figures.alignment_matrices(WEIGHTS, sources, targets)
    assert len(figure.axes) == 6
    for i, ax in enumerate(figure.axes):
        example, head = divmod(i, 2)
        rows, columns = len(targets[example]), len(sources[example])
        (image,) = ax.get_images()
        np.testing.assert_array_equal(image.get_array(), WEIGHTS[example, head, :rows, :columns])
        assert image.get_clim() == (0, 1)
        assert labels(ax.xaxis) == sources[example].replace(" ", "␣")
        assert labels(ax.yaxis) == "".join(targets[example])
        assert ax.get_title("left") == f"head {head + 1}"


def test_without_heads_examples_stand_in_pairs():
    figure = figures.alignment_matrices(WEIGHTS[:, :1], ["3 may", "5 june", "1"], [["end"]] * 3)
    assert len(figure.axes) == 3
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 2)
    assert figure.axes[2].get_title("left") == ""


def test_self_attention_shows_blanks_by_signs():
    weights = WEIGHTS[0, :, :, :4]
    figure = figures.self_attention_matrices(weights, "a \n\t")
    for ax, matrix in zip(figure.axes, weights, strict=True):
        np.testing.assert_array_equal(ax.get_images()[0].get_array(), matrix)
        assert labels(ax.xaxis) == labels(ax.yaxis) == "a·↵⇥"


def test_a_picture_is_lit_where_it_is_looked_at():
    picture = np.full((40, 60, 3), 200, "uint8")
    lit = figures.spotlight(picture, np.float32([[0, 0, 0], [0, 0, 1]]))
    assert lit.shape == picture.shape
    assert abs(int(lit[-1, -1, 0]) - 200) <= 1
    assert lit[0, 0, 0] == int(200 * attention.DARK)
    np.testing.assert_array_equal(figures.spotlight(picture, np.full((2, 3), 0.1)), picture)
