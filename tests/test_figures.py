"""What the figures draw: the data of their lines, bars and dots, and their texts."""

import base64
from xml.etree import ElementTree

import numpy as np
import pytest

from cvcourse import figures
from cvcourse.errors import RunError

SVG = "{http://www.w3.org/2000/svg}"
TEXTS = (r"$\frac$", "$x$", "a_b^c", "<b>&", "_hidden", "100 $ or $ 200", "漢字", r"\textbf{x")


def texts_in(figure):
    """What a figure's SVG writes, letters not drawn: a list of texts."""
    _, data = figures.svg(figure, outlines=False).split(",")
    picture = ElementTree.fromstring(base64.b64decode(data))
    return ["".join(node.itertext()) for node in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize("outlines", [True, False])
def test_the_user_s_texts_are_no_mathematics_anywhere_in_a_figure(outlines):
    figure, (ax,) = figures.new_figure(width=9, height=4)
    for place, name in enumerate(TEXTS):
        ax.plot([place], [place], "o", label=f"legend {name}")
        ax.text(place, place, f"text {name}")
        ax.annotate(f"note {name}", (place, place))
    ax.set_xticks(range(len(TEXTS)), labels=[f"tick {name}" for name in TEXTS])
    ax.set_title(f"title {TEXTS[0]}")
    ax.set_ylabel(f"axis {TEXTS[0]}")
    ax.legend()
    if outlines:
        assert figures.svg(figure).startswith("data:image/svg+xml;base64,")
        return
    kinds = ("legend", "text", "note", "tick")
    expected = {f"{kind} {name}" for kind in kinds for name in TEXTS}
    assert expected | {f"title {TEXTS[0]}", f"axis {TEXTS[0]}"} <= {*texts_in(figure)}


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(1e-4, 1e3, {"1e-04", "1e-02", "1", "100"}), (2e-3, 7e-3, {"2e-03", "3e-03", "6e-03"})],
)
def test_logarithmic_axes_have_plain_numbers(low, high, labels):
    """matplotlib's own labels of them are mathematics, and need to be parsed."""
    figure, (ax,) = figures.new_figure(width=4, height=4)
    ax.plot([low, high], [low, high])
    ax.set_yscale("log")
    ax.set_xscale("log")
    found = [text.replace("\N{MINUS SIGN}", "-") for text in texts_in(figure)]
    assert labels <= {*found}
    assert not [text for text in found if "$" in text or "math" in text]


def test_a_map_of_classes_names_each_of_them():
    points = np.random.default_rng(0).normal(size=(2 * len(TEXTS), 2))
    labels = np.arange(len(points)) % len(TEXTS)
    images = np.zeros((len(points), 4, 4, 3), "uint8")
    found = texts_in(figures.feature_map(points, labels, images, TEXTS))
    assert [text for text in found if text in TEXTS] == [*TEXTS]


def test_a_name_with_a_control_character_is_a_picture_still():
    figure, (ax,) = figures.new_figure(width=4, height=4)
    ax.set_title("esc\x1bape")
    assert "esc\ufffdape" in texts_in(figure)


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path):
    figure, _ = figures.new_figure(width=4, height=4)
    with pytest.raises(RunError, match=r"cannot write .*: No such file or directory"):
        figures.save_figure(figure, tmp_path / "none" / "a.svg")


@pytest.mark.parametrize("count", [1, 10, 20, 30])
def test_colors_differ(count):
    assert len({tuple(color) for color in figures.palette(count)}) == count


def xs(line):
    return np.asarray(line.get_xdata()).tolist()


def ys(line):
    return np.asarray(line.get_ydata()).tolist()


def lines(ax):
    """{label: y data} of an axis' lines that have one."""
    return {line.get_label(): ys(line) for line in ax.lines if line.get_label()[0] != "_"}


def titles(figure):
    return [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]


def texts(found):
    return [text.get_text() for text in found]


# ---- curves ----

HISTORY = [
    dict(epoch=1, loss=2.0, accuracy=0.2, val_loss=1.0, val_accuracy=0.3, learning_rate=0.1),
    dict(epoch=2, loss=0.5, accuracy=0.6, val_loss=0.4, val_accuracy=0.5, learning_rate=0.01),
]


@pytest.mark.parametrize(("scale", "scaled"), [(1, "log"), (0, "linear")])
def test_a_training_s_curves(scale, scaled):
    history = [row | {"loss": row["loss"] * scale} for row in HISTORY]  # 0 has no logarithm
    figure = figures.training_curves(history, 2, "loss (bits)")
    loss, accuracy, rate = figure.axes
    assert titles(figure) == ["loss (bits)", "accuracy", "learning rate, at the epoch's end"]
    assert lines(loss) == {
        "training": [2.0 * scale, 0.5 * scale],
        "validation": [1.0, 0.4],
        "best epoch": [0, 1],
    }
    assert xs(loss.lines[-1]) == [2, 2]
    assert lines(accuracy)["validation"] == [0.3, 0.5]
    assert ys(rate.lines[0]) == [0.1, 0.01]
    assert (loss.get_yscale(), accuracy.get_yscale()) == (scaled, "linear")


def test_runs_side_by_side():
    runs = {
        "a": {"passes": [0, 1], "val_loss": [3.0, 0.1], "val_accuracy": [0.1, 0.9]},
        "b": {"passes": [0, 2], "val_loss": [3.0, 1.0], "val_accuracy": [0.1, 0.5]},
    }
    styles = {"a": {"label": "a 0.1", "color": "red"}, "b": {"label": "b", "linestyle": "--"}}
    figure = figures.compared_curves(
        runs, {"val_loss": "loss", "val_accuracy": "accuracy"}, styles, x="passes", xlabel="passes"
    )
    loss, accuracy = figure.axes
    assert titles(figure) == ["loss", "accuracy"]
    assert lines(loss) == {"a 0.1": [3.0, 0.1], "b": [3.0, 1.0]}
    assert lines(accuracy) == {"a 0.1": [0.1, 0.9], "b": [0.1, 0.5]}
    assert [xs(line) for line in loss.lines] == [[0, 1], [0, 2]]
    assert loss.lines[0].get_color() == "red" and loss.lines[1].get_linestyle() == "--"
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert loss.get_xlabel() == "passes"


def test_how_far_back_a_loss_reaches():
    norms = {"before": {"rnn": [1.0, 4.0], "off": [0.0, 0.0]}, "after": {"rnn": [3.0, 2.0]}}
    styles = {name: {"label": name} for name in ("rnn", "off")}
    figure = figures.gradient_reach(norms, styles, xlabel="row")
    assert titles(figure) == ["before", "after"]
    assert [lines(ax) for ax in figure.axes] == [
        {"rnn": [0.25, 1.0], "off": [0.0, 0.0]},
        {"rnn": [1.0, pytest.approx(2 / 3)]},
    ]


def test_paths_over_a_surface():
    paths = {name: {"x": [0.0, 1.0], "y": [2.0, 3.0]} for name in "abcdef"}
    styles = {name: {"color": "red", "label": f"{name} 0.1"} for name in paths}
    figure = figures.surface_paths(lambda x, y: x + y, paths, styles, x=(-1, 2), y=(0, 4))
    assert titles(figure) == [f"{name} 0.1" for name in "abcdef"]  # in two rows
    path, end = figure.axes[5].lines
    assert (xs(path), ys(path)) == ([0.0, 1.0], [2.0, 3.0])
    assert (xs(end), ys(end)) == ([1.0], [3.0])
    (contours,) = figure.axes[0].collections
    x, y = next(path for path in contours.get_paths() if len(path.vertices)).vertices.T
    np.testing.assert_allclose(x + y, (x + y)[0], atol=1e-6)  # of one height


# ---- ensembles and regularizers ----


def accuracy(mean, std):
    return {"accuracy": {"mean": mean, "std": std}}


def test_errors_by_the_size_of_an_ensemble():
    rows = {"single": accuracy(0.9, 0.01)}
    rows |= {
        f"{kind}_m{m}": accuracy(0.9 + m / 100, None)
        for m in (2, 3)
        for kind in ("snapshot", "checkpoint", "independent")
    }
    (ax,) = figures.ensemble_errors((2, 3), {"test": rows}).axes
    assert titles(ax.figure) == ["test error (%)"]
    assert [box.get_label() for box in ax.containers] == ["snapshot", "checkpoint", "independent"]
    for box, offset in zip(ax.containers, (-0.06, 0, 0.06), strict=True):
        np.testing.assert_allclose(xs(box.lines[0]), np.array([2, 3]) + offset)
        np.testing.assert_allclose(ys(box.lines[0]), [8, 7])
    assert lines(ax)["single"] == pytest.approx([10, 10])
    np.testing.assert_allclose(
        ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervaly, [9, 11]
    )


def test_errors_of_the_first_snapshots():
    (ax,) = figures.first_snapshots({"2": [0.5, 0.25], "3": [0.5, 0.4, 0.3]}).axes
    assert lines(ax) == {"M = 2": [50, 25], "M = 3": [50, 40, 30]}


def test_a_cyclic_run_beside_a_single_one():
    rates = {"snapshot_m2": ([0, 1], [0.1, 0.2]), "single": ([0, 1], [0.3, 0.4])}
    rate, loss = figures.cyclic_runs(rates, dict.fromkeys(rates, HISTORY), [1, 2]).axes
    assert [ys(line) for line in rate.lines] == [[0.1, 0.2], [0.3, 0.4]]
    assert lines(loss) == {"snapshot_m2": [1.0, 0.4], "single": [1.0, 0.4]}  # validation
    assert ys(loss.lines[0]) == [2.0, 0.5]  # training
    assert [xs(line) for line in loss.lines[4:]] == [[1, 1], [2, 2]]


def test_gains_of_regularizers():
    gain = {"mean": 0.02, "std": 0.01}
    rows = {"none": {"gain": None}, "swa": {"gain": gain}}
    (ax,) = figures.accuracy_gains({"validation": rows, "test": rows}).axes
    assert [xs(container.lines[0]) for container in ax.containers] == [[2.0], [2.0]]
    assert texts(ax.get_yticklabels()) == ["swa"]


# ---- predictions ----


def test_one_epoch_has_one_whole_number_at_its_axis():
    row = dict(epoch=1, loss=2.0, accuracy=0.5, val_loss=1.0, val_accuracy=0.5, learning_rate=0.1)
    figure = figures.training_curves([row], 1, "loss (nats)")
    figure.draw_without_rendering()
    for ax in figure.axes:
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [1]


def test_long_names_leave_room_for_the_picture():
    names = ("cat", "n" * 200)
    figure = figures.confusion_matrix(np.eye(2, dtype=int), names)
    figure.draw_without_rendering()
    assert {"cat", "n" * 37 + "..."} <= {*texts_in(figure)}
    assert figure.axes[0].get_position().width > 0.25
    points, images = np.zeros((2, 2)), np.zeros((2, 8, 8, 1))
    feature_map = figures.feature_map(points, np.arange(2), images, names)
    assert "n" * 37 + "..." in texts_in(feature_map)


def test_a_confusion_matrix_shows_shares_and_counts():
    ax, bar = figures.confusion_matrix(np.array([[3, 1], [0, 0]]), ("cat", "dog")).axes
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [(text.get_text(), text.get_position()) for text in ax.texts] == [
        ("3", (0, 0)),
        ("1", (1, 0)),
    ]
    assert texts(ax.get_xticklabels()) == texts(ax.get_yticklabels()) == ["cat", "dog"]
    assert bar.get_ylabel() == "share of the true class"


def test_of_many_classes_no_counts_are_written():
    ax, _ = figures.confusion_matrix(np.eye(21, dtype=int), [str(i) for i in range(21)]).axes
    assert texts(ax.texts) == []


def test_reliability_has_a_bar_a_bin_and_a_dot_where_there_are_answers():
    bins = np.array([0, 4]), np.array([np.nan, 0.8]), np.array([0.0, 0.75])
    figure = figures.reliability_diagram({"one": bins, "two": bins})
    assert titles(figure) == ["one", "two"]
    ax = figure.axes[0]
    assert [(b.get_x(), b.get_width(), b.get_height()) for b in ax.patches] == [
        (0.0, 0.5, 0.0),
        (0.5, 0.5, 0.75),
    ]
    assert ax.lines[0].get_xydata().tolist() == [[0.8, 0.75]]


# ---- the lectures' experiments ----


def test_the_landscape_has_a_disc_and_a_name_for_each_point():
    points = {"a": (1e9, 5e6, 70.0), "b": (4e9, 25e6, 76.0)}
    (ax,) = figures.accuracy_by_work(points, {"a": "x", "b": "y"}).axes
    discs = [c for c in ax.collections if len(c.get_offsets())]
    assert [c.get_offsets()[0].tolist() for c in discs] == [[1.0, 70.0], [4.0, 76.0]]
    assert discs[1].get_sizes() / discs[0].get_sizes() == 5  # the area is the parameters
    assert texts(ax.texts) == ["a", "b"]


def test_histograms_by_layer():
    activations = {"tanh, 1": [np.array([-1.0, 1.0, 1.0])] * 2, "relu": [np.array([2.9])] * 2}
    figure = figures.activation_histograms(activations, {"tanh, 1": [0.5, 1e-7], "relu": [0, 1]})
    assert titles(figure) == ["std 5.0e-01", "std 1.0e-07", "std 0.0e+00", "std 1.0e+00"]
    tanh, relu = ([bar.get_height() for bar in figure.axes[i].patches] for i in (0, 2))
    assert (tanh[0] + tanh[1], tanh[-1] + tanh[-2]) == (1, 2)
    assert relu.index(1) == 39  # of 41 bins over 0..3
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "layer 1", "layer 2"]


def test_time_by_kernel():
    rows = {size: {"median": size / 1000, "quartiles": (0.0005, 0.01)} for size in (3, 1)}
    (ax,) = figures.time_by_kernel({"direct": rows, "F(2x2, 3x3)": {3: rows[3]}}).axes
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[1, 1], [3, 3]], [[3, 3]]]
    assert ax.collections[0].get_paths()[0].get_extents().extents.tolist() == [1, 0.5, 3, 10]
    assert texts(ax.get_legend().get_texts()) == ["direct", "F(2x2, 3x3)"]


def test_filters_have_a_row_each():
    kernels = {"blur": np.full((2, 2), 0.25), "edge": np.array([[-1.0, 1.0]])}
    photo = np.linspace(-50, 100, 24).reshape(4, 6)
    responses = dict.fromkeys(kernels, np.full((8, 8), 2.0))
    figure = figures.filtered_photos(kernels, dict.fromkeys(kernels, photo), responses)
    (blur, _, response), (edge, change, _) = np.reshape(figure.axes, (2, 3))
    assert texts(blur.texts) == [".25"] * 4
    assert texts(edge.texts) == ["-1", "1"]
    assert (blur.get_ylabel(), edge.get_ylabel()) == ("blur", "edge")
    assert figure.axes[1].images[0].get_clim() == (0, 255)
    low, high = change.images[0].get_clim()
    assert low == -high and 90 < high < 100  # 0 is gray
    assert response.get_ylabel() == "0 to 2"


def test_gradients_through_time():
    values = ("0.5", "0.9", "1", "1.1", "1.5", "2")
    vanilla = {
        (value, kind): [1.0, float(value)] for kind in ("linear", "tanh") for value in values
    }
    figure = figures.gradients_through_time(
        vanilla,
        {"LSTM": [1.0, 0.5, 0.25]},
        {"clipped": {"loss": [2.0, 1.0], "gradient_norm": [9.0, 0.1]}},
        titles=("vanilla", "cells"),
        chance=2.08,
    )
    of_vanilla, cells, loss, norm = figure.axes
    assert titles(figure) == ["vanilla", "cells", "Training an RNN to remember 3 steps", ""]
    drawn = [ys(line) for line in of_vanilla.lines[:12]]
    assert drawn == [*vanilla.values()]
    assert {line.get_linestyle() for line in of_vanilla.lines[6:12]} == {"--"}  # tanh
    assert of_vanilla.lines[2].get_color() == "black"
    assert texts(of_vanilla.texts) == [*values] * 2
    assert lines(cells) == {"LSTM": [1.0, 0.5, 0.25]}
    assert lines(loss) == {"clipped": [2.0, 1.0], "chance": [2.08, 2.08]}
    assert lines(norm) == {"clipped": [9.0, 0.1]}


# ---- sweeps ----


def test_both_searches_planes():
    searches = {
        "grid": [(0.1, 1e-3, 0.5), (0.1, 1e-4, 0.6)],
        "random": [(0.2, 1e-3, 0.7), (0.3, 1e-4, 0.8)],
    }
    figure = figures.search_planes(searches)
    above, random_above, plane, random_plane = figure.axes[:4]
    assert titles(figure)[:2] == [
        "grid search: 1 learning rates in 2 trials",
        "random search: 2 learning rates in 2 trials",
    ]
    assert above.collections[1].get_offsets().tolist() == [[0.1, 0.5], [0.1, 0.6]]
    assert random_plane.collections[0].get_offsets().tolist() == [[0.2, 1e-3], [0.3, 1e-4]]
    assert random_above.collections[1].get_clim() == plane.collections[0].get_clim() == (0.5, 0.8)


def test_trials_as_lines_through_their_values():
    axes = {
        "rate": (np.array([-2.0, -1.0, 0.0]), "0.01", "1"),
        "drop": (np.array([0.5, np.nan, 0.5]), "0.5", "0.5"),
    }
    (ax,) = figures.parallel_coordinates(axes, [0.9, 0.1, 0.5]).axes
    (trials,) = ax.collections
    ys = [path.vertices[:, 1].tolist() for path in trials.get_paths()]
    assert ys == [[0.0, 0.5], [0.5, -0.1], [1.0, 0.5]]  # a single value is in the middle
    assert texts(ax.texts) == ["0.01", "1", "0.5", "0.5"]
    bright = [sum(color[:3]) for color in trials.get_colors()]
    assert bright[0] > bright[2] > bright[1]


def test_the_objective_against_each_value():
    columns = {"rate": (np.array([0.1, 1.0]), None), "optimizer": (np.array([0, 1]), ["a", "b"])}
    rate, optimizer = figures.objective_by_value(columns, [0.5, 0.6], "val_accuracy", {"rate"}).axes
    assert rate.collections[0].get_offsets().tolist() == [[0.1, 0.5], [1.0, 0.6]]
    assert (rate.get_xscale(), rate.get_ylabel()) == ("log", "val_accuracy")
    assert texts(optimizer.get_xticklabels()) == ["a", "b"]


def test_the_best_trial_s_curve_is_named():
    (ax,) = figures.trial_curves({"0": [0.1, 0.2], "1": [0.5]}, "1", "val_accuracy").axes
    assert lines(ax) == {"trial 1, the best": [0.5]}
    assert ax.lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.2]]


def test_what_mattered_most_is_at_the_top():
    (ax,) = figures.importance_bars({"rate": 0.7, "decay": 0.1, "batch": 0.2}).axes
    assert [bar.get_width() for bar in ax.patches] == [0.1, 0.2, 0.7]
    assert texts(ax.get_yticklabels()) == ["decay", "batch", "rate"]


# ---- the doctor's ----


def test_examples_learned_by_heart():
    (ax,) = figures.memorized_examples({0.003: [2.3, 0.1], 0.01: [2.3, 0.01]}, 0.05).axes
    assert lines(ax) == {
        "Adam, rate 0.003": [2.3, 0.1],
        "Adam, rate 0.01": [2.3, 0.01],
        "memorized": [0.05, 0.05],
    }
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("suggested", [None, (0.01, 0.1)])
def test_a_range_test(suggested):
    figure = figures.range_test(
        [0.01, 0.1, 1.0],
        [2.0, 1.0, 99.0],
        [2.0, 1.5, 90.0],
        rate=0.05,
        suggested=suggested,
        at_rate=[2.0, 1.0],
        chance=2.3,
        top=5.0,
    )
    assert titles(figure) == ["range test: loss at a rising rate", "loss at 0.05"]
    left, right = figure.axes
    assert lines(left)["smoothed"] == [2.0, 1.5, 90.0]
    assert xs(left.lines[2]) == [0.05, 0.05]
    assert left.get_ylim() == (0, 5.0)
    assert len(left.patches) == (suggested is not None)
    assert ys(right.lines[0]) == [2.0, 1.0]


def test_updates_and_signals_by_layer():
    kernels, signals, defects = figures.updates_and_signals(
        [1e-3, 2e-3],
        [1.0, 0.5],
        [0.1, 0.2],
        usual=1e-3,
        modest=(1e-4, 1e-2),
        later=10,
        dead=[None, 0.3],
        saturated=[None, None],
    ).axes
    assert ys(kernels.lines[0]) == [1e-3, 2e-3]
    assert lines(signals) == {"outputs": [1.0, 0.5], "gradients, 10 steps later": [0.1, 0.2]}
    assert [line.get_xydata().tolist() for line in defects.lines] == [[[1, 0.3]]]


def test_errors_of_a_gradient_leave_kinks_apart():
    (ax,) = figures.gradient_errors([1e-9, 0.5, 0.0], [False, True, False], 1e-4).axes
    assert lines(ax) == {
        "checked": [1e-9, 1e-12],
        "a kink, left out": [0.5],
        "bound": [1e-4, 1e-4],
    }


def test_times_of_steps_are_in_milliseconds():
    (ax,) = figures.step_times([0.1, 0.2], [0.001, 0.0]).axes
    assert lines(ax) == {"training": [100, 200], "waiting": [1, 0]}


def test_weights_of_three_stages():
    dense = np.array([[-1.0, 0.2], [0.5, 2.0]])
    shared = np.array([[-0.75, 0], [-0.75, 2.0]])
    axes = figures.weight_histograms(dense, np.where(dense < 0.3, 0, dense), shared).axes
    counts = [[bar.get_height() for bar in ax.patches] for ax in axes[:2]]
    assert [sum(each) for each in counts] == [4, 2]  # zeros are left out
    assert axes[1].get_title(loc="left") == "pruned: 50 % left"
    (dots,) = axes[2].lines
    assert (dots.get_xdata().tolist(), dots.get_ydata().tolist()) == ([-0.75, 2.0], [2, 1])


def test_errors_by_ratio_are_in_order():
    points = {"seed 0": [(120.0, 1.9), (46.0, 1.6)], "seed 1": [(5.0, 2.0)]}
    (ax,) = figures.error_by_ratio(points, 1.7, published=(40, 1.58)).axes
    dense, first, second, published = ax.lines
    assert first.get_xdata().tolist() == [46, 120] and first.get_ydata().tolist() == [1.6, 1.9]
    assert dense.get_ydata() == [1.7, 1.7] and published.get_xdata().tolist() == [40]
    assert second.get_label() == "seed 1" and ax.get_xscale() == "log"


# ---- nothing, and very much ----

NOTHING = {  # what is drawn of empty arguments: the one that is named
    "confusion_matrix": ((np.zeros((0, 0), int), ()), {}, "names"),
    "training_curves": (([], 1, "loss"), {}, "history"),
    "gradient_reach": (({}, {}), {"xlabel": "step"}, "columns"),
    "ensemble_errors": (((), {}), {}, "columns"),
    "accuracy_gains": (({},), {}, "splits"),
    "feature_map": ((np.zeros((0, 2)), np.zeros(0, int), [], []), {}, "points"),
    "activation_histograms": (({}, {}), {}, "activations"),
    "accuracy_by_work": (({}, {}), {}, "points"),
    "search_planes": (({"grid": [], "random": []},), {}, "grid"),
    "reliability_diagram": (({},), {}, "columns"),
    "surface_paths": ((max, {}, {}), {"x": (0, 1), "y": (0, 1)}, "paths"),
    "parallel_coordinates": (({}, []), {}, "axes"),
    "objective_by_value": (({}, [], "loss"), {}, "columns"),
    "alignment_matrices": ((np.zeros((0, 1, 2, 2)), [], []), {}, "weights"),
    "weight_histograms": (([], [], []), {}, "dense"),
    "error_by_ratio": (({}, 1.0), {}, "points"),
    "gradients_through_time": (({}, {}, {}), {"titles": ("", ""), "chance": 1}, "vanilla"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_empty_is_named(name):
    arguments, options, empty = NOTHING[name]
    with pytest.raises(ValueError, match=f"nothing to draw: {empty} is empty"):
        getattr(figures, name)(*arguments, **options)


def test_more_families_than_colors():
    names = [str(i) for i in range(41)]
    points = {name: (1e9 * (i + 1), 1e6, 50.0 + i) for i, name in enumerate(names)}
    (ax,) = figures.accuracy_by_work(points, dict(zip(names, names, strict=True))).axes
    colors = [c.get_facecolor()[0].tolist() for c in ax.collections if len(c.get_offsets())]
    assert len(colors) == 41
    assert colors[40] == colors[0] != colors[1]


@pytest.mark.parametrize(("classes", "named"), [(100, range(100)), (201, range(0, 201, 3))])
def test_names_of_many_classes_do_not_overlap(classes, named):
    names = [f"class {i}" for i in range(classes)]
    figure = figures.confusion_matrix(np.eye(classes, dtype=int), names)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    labels = ax.get_yticklabels()
    assert ax.get_yticks().tolist() == [*named]
    assert texts(labels) == texts(ax.get_xticklabels()) == [names[i] for i in named]
    boxes = [label.get_window_extent() for label in labels]
    assert min(b.y0 - a.y1 for a, b in zip(boxes[1:], boxes, strict=False)) > -1  # pixel


# ---- decision regions ----


def test_regions_are_those_of_the_classifier_and_points_are_above_them():
    points, labels = np.array([[-2.0, 1.0], [0.0, 3.0], [2.0, 1.0]]), np.array([0, 1, 1])
    asked = []

    def classify(p):
        asked.append(p)
        return (p[:, 0] > 0).astype(int)

    figure = figures.decision_regions(
        {"left": classify, "all 0": lambda p: 0 * p[:, 0]}, points, labels
    )
    assert titles(figure) == ["left", "all 0"]
    left, zero = figure.axes
    picture = np.asarray(left.images[0].get_array())
    assert not picture[:, :140].any() and picture[:, 160:].all()
    assert left.images[0].get_extent() == pytest.approx([-2.4, 2.4, 0.8, 3.2])
    assert asked[0].min(axis=0) == pytest.approx([-2.4, 0.8])
    np.testing.assert_array_equal(left.collections[0].get_offsets(), points)
    np.testing.assert_array_equal(left.collections[0].get_array(), labels)
    assert not np.asarray(zero.images[0].get_array()).any()
    with pytest.raises(ValueError, match="points is empty"):
        figures.decision_regions({"left": classify}, points[:0], labels[:0])
# ---- linear classifiers ----


def test_accuracies_on_grids_and_the_frame_of_the_best():
    grids = {"softmax": np.array([[0.9, 0.95], [0.1, 0.93]]), "svm": np.array([[0.8, 0.7]] * 2)}
    figure = figures.accuracy_grids(grids, [0.1, 1], [2e-5, 1], labels=("rate", "reg"))
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["90.0", "95.0", "10.0", "93.0"]
    assert [ax.patches[0].get_xy() for ax in figure.axes] == [(0.5, -0.5), (-0.5, -0.5)]
    assert first.images[0].get_clim() == second.images[0].get_clim() == pytest.approx((0.85, 0.95))
    assert [label.get_text() for label in first.get_xticklabels()] == ["2e-05", "1"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["0.1", "1"]
    with pytest.raises(ValueError, match="grids is empty"):
        figures.accuracy_grids({}, [1], [1], labels=("", ""))


def test_a_table_of_images():
    images = np.arange(2 * 10 * 20).reshape(2, 10, 20, 1) % 256
    figure = figures.image_table({"a": images, "b": 255 - images}, ("cat", "horse"))
    (ax,) = figure.axes
    picture = ax.images[0].get_array()
    for top, row in ((0, images), (12, 255 - images)):
        for left, image in ((0, row[0]), (22, row[1])):
            found = picture[top : top + 10, left : left + 20]
            np.testing.assert_array_equal(found, np.broadcast_to(image, (10, 20, 3)))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert list(ax.get_yticks()) == [5, 17]
    assert list(ax.get_xticks()) == [10, 32]
