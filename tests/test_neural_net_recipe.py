"""Neural nets by hand: the notes' spiral to the digit, a small run once, and what it refuses."""

import json
import pathlib

import numpy as np
import pytest
from cvcourse.recipes import neural_net

from cvcourse import __main__ as command_line
from cvcourse.classic.nets import FullyConnectedNet, TwoLayerNet
from cvcourse.classic.sanity_checks import sanity_checks
from cvcourse.classic.spiral import spiral
from cvcourse.errors import UsageError

SMALL = dict(
    limit=120,
    hidden=(5, 20),
    learning_rates=(0.03,),
    regs=(0.0, 0.01),
    epochs=20,
    seeds=(3, 1),
    spiral_steps=20,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = neural_net.Config(**SMALL, workdir=str(tmp_path_factory.mktemp("neural_net")))
    return config, neural_net.main(config)


# ---- the notes' numbers ----


def test_a_linear_classifier_of_the_spiral_is_that_of_the_notes():
    """https://cs231n.github.io/neural-networks-case-study: loss 0.786282, accuracy 0.49."""
    X, y = spiral()
    net = FullyConnectedNet([], 2, 3, reg=1e-3, weight_scale=0.01, dtype=np.float64, rng=0)
    for _ in range(200):
        _, grads = net.loss(X, y)
        for name, gradient in grads.items():
            net.params[name] -= gradient
    assert net.loss(X, y)[0] == pytest.approx(0.786282, abs=3e-6)
    assert (net.loss(X).argmax(axis=1) == y).mean() == pytest.approx(0.49, abs=5e-3)


def test_a_spiral_has_arms_of_its_own_radius():
    X, y = spiral(seed=5, points=200, arms=4)
    np.testing.assert_array_equal(np.bincount(y), [200] * 4)
    np.testing.assert_allclose(np.hypot(*X.T), np.tile(np.linspace(0, 1, 200), 4), atol=1e-12)
    noise = np.angle(np.exp(1j * (np.arctan2(*X.T) - 4 * (y + np.hypot(*X.T)))))
    assert noise[1:].std() == pytest.approx(0.2, rel=0.1) and abs(noise.mean()) < 0.03
    assert (spiral(0)[0] != spiral(1)[0]).any()


# ---- sanity checks ----


def make(**settings):
    return TwoLayerNet(30, 50, 4, **settings)


FEW = np.random.default_rng(0).normal(size=(20, 30)), np.arange(20) % 4


def checked(make, **settings):
    return {check.name.split(",")[0]: check for check in sanity_checks(make, *FEW, **settings)}


def test_a_sound_net_passes():
    found = checked(make)
    assert all(check.passed for check in found.values())
    assert found["loss with small weights"].expected == pytest.approx(np.log(4))
    assert found["accuracy on 20 examples"].found == 1


class WithoutPenalty(TwoLayerNet):
    def loss(self, X, y=None):
        reg, self.reg = self.reg, 0.0
        found = super().loss(X, y)
        self.reg = reg
        return found


class WrongGradient(TwoLayerNet):
    def loss(self, X, y=None):
        found = super().loss(X, y)
        if y is not None:
            found[1]["b1"] = 1.01 * found[1]["b1"]
        return found


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        (lambda **s: make(**s | {"weight_scale": 1.0}), "loss with small weights"),
        (lambda **s: WithoutPenalty(30, 50, 4, **s), "loss with a penalty"),
        (lambda **s: WrongGradient(30, 50, 4, **s), "largest relative error of 79 slopes"),
    ],
)
def test_a_broken_net_fails_its_check(broken, failed):
    assert failed in [name for name, check in checked(broken).items() if not check.passed]


def test_too_few_epochs_do_not_memorize():
    assert not checked(make, epochs=1)["accuracy on 20 examples"].passed


# ---- the recipe ----


def test_the_best_trial_on_validation_data_is_repeated(run):
    _, metrics = run
    assert "neural_net" in command_line.recipes()
    trials = metrics["grid"]["pixels"]
    grid = [(t["settings"]["hidden"], t["settings"]["reg"]) for t in trials]
    assert grid == [(5, 0.0), (5, 0.01), (20, 0.0), (20, 0.01)]
    best = max(trials, key=lambda trial: trial["val_accuracy"])
    row = metrics["nets"]["tuned, pixels"]
    assert row["settings"] == best["settings"]
    # The trial has the first seed: the repetition gives the same bits.
    assert row["val_accuracy"]["seeds"][0] == best["val_accuracy"]
    assert [len(row[key]["seeds"]) for key in ("val_accuracy", "test_accuracy")] == [2, 2]
    assert row["test_accuracy"]["mean"] > 0.7
    assert metrics["nets"]["first, pixels"]["settings"] == neural_net.FIRST
    assert {len(values) for values in row["curves"].values()} == {20}
    assert row["curves"]["loss"][-1] < row["curves"]["loss"][0]


def test_the_spiral_and_the_checks_are_in_the_metrics(run):
    _, metrics = run
    linear, hidden = metrics["spirals"].values()
    assert (linear["steps"], hidden["steps"]) == (200, 20)
    assert linear["loss"]["mean"] == pytest.approx(0.7863, abs=5e-5)
    assert all(check["passed"] for check in metrics["checks"]["pixels"])


def test_the_report_shows_it_and_a_second_time_nothing_is_run(run, capsys):
    config, _ = run
    workdir = pathlib.Path(config.workdir)
    page = (workdir / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2
    assert page.count("data:image/png;base64,") + page.count("data:image/jpeg;base64,") == 2
    for text in ("0.7863 ± 0.0000", "First-layer weights: tuned, pixels", "Grid: pixels"):
        assert text in page
    assert "assignment 1</th>" not in page  # its numbers are of CIFAR-10
    kept = json.loads((workdir / "metrics.json").read_text())
    assert neural_net.main(config).items() >= kept.items()
    assert "is finished" in capsys.readouterr().out


def test_published_numbers_stand_beside_those_of_cifar10(run):
    table = neural_net.net_table(run[1]["nets"], published=True)
    assert table[0][-1] == "assignment 1"
    assert table[1][-1] == "about 36 %, validation (two_layer_net)"


def colored(tmp_path, side):
    """24 + 8 images in two classes, green or red, as an .npz file."""
    labels = np.arange(32) % 2
    images = np.random.default_rng(0).integers(0, 60, (32, side, side, 3), "uint8")
    images[range(32), :, :, labels] += 150
    np.savez(
        tmp_path / "colors.npz",
        **{"x_train": images[:24], "y_train": labels[:24]},
        **{"x_test": images[24:], "y_test": labels[24:]},
    )
    return str(tmp_path / "colors.npz")


def test_hues_separate_what_differs_in_color(tmp_path, undrawn):
    settings = SMALL | {"features": ("hog_color",), "limit": None, "seeds": (0,)}
    config = neural_net.Config(
        **settings, dataset=colored(tmp_path, 16), workdir=str(tmp_path / "run")
    )
    metrics = neural_net.main(config)
    assert [*metrics["nets"]] == ["first, hog_color", "tuned, hog_color"]
    assert metrics["nets"]["tuned, hog_color"]["test_accuracy"]["mean"] == 1
    assert metrics["nets"]["tuned, hog_color"]["test_accuracy"]["std"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"features": ("hog_color",)},
            r"needs color images; those of digits have the shape \(8, 8, 1\)",
        ),
        ({"features": ("hog",)}, "unknown --features 'hog': choose from pixels, hog_color"),
        ({"hidden": ()}, "--hidden expects one or more different values"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
    ],
)
def test_what_it_refuses_before_it_writes(changes, message, tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(UsageError, match=message):
        neural_net.main(neural_net.Config(**{**SMALL, "workdir": str(workdir), **changes}))
    assert not workdir.exists()
