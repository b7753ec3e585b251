"""The doctor's recipe from outside: what it leaves and prints, .keras files, what it refuses."""

import json
import math
import re

import keras
import pytest
from cvcourse.recipes import check
from keras import layers

from cvcourse import training
from cvcourse.errors import RunError, UsageError

QUICK = dict(model="linear", range_steps=20)


def config(workdir, **settings):
    return check.Config(**{**QUICK, "workdir": str(workdir), **settings})


def by_name(report):
    return {step["name"]: step for step in report["steps"]}


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """The default examination, a tenth of its size, as a command line runs it."""
    workdir = tmp_path_factory.mktemp("check") / "run"
    code = check.cli(["--dataset=digits", "--range_steps=60", f"--workdir={workdir}"])
    return workdir, code


def test_a_healthy_setup_passes_and_says_so(examined, capsys):
    workdir, code = examined
    assert code == 0
    report = json.loads((workdir / "check.json").read_text())
    assert [step["name"] for step in report["steps"]] == list(check.STEPS)
    assert {step["verdict"] for step in report["steps"]} == {"pass"}
    assert report["failed"] == []
    for step in report["steps"]:
        assert set(step) == {"name", "verdict", "value", "expected", "advice", "details"}
    steps = by_name(report)
    assert steps["initial_loss"]["expected"] == math.log(10)
    assert steps["initial_loss"]["value"] == pytest.approx(math.log(10), rel=0.05)
    assert steps["memorize"]["details"]["examples"] == 32
    assert steps["learning_rate"]["value"] == 0.05
    assert steps["updates"]["expected"] == 1e-3
    assert {p.name for p in workdir.iterdir()} - {".lock"} == {
        *("check.json", "config.json", "report.html")
    }


def test_the_page_stands_alone(examined):
    page = (examined[0] / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert page.count("data:image/svg+xml") == 5  # a picture a step, but the first
    for word in (*check.STEPS, "lenet5 on digits", "AveragePooling2D", "range steps", "shift"):
        assert word in page or word.replace(" ", "_") in page


@pytest.mark.slow
def test_the_examination_is_the_same_each_time_and_can_be_repeated(tmp_path):
    settings = dict(steps=check.STEPS[:5], seed=3)
    first = check.main(config(tmp_path, **settings))
    again = check.main(config(tmp_path, **settings))
    assert first["steps"] == again["steps"]
    assert by_name(first)["pipeline"] == dict(
        name="pipeline", verdict="skip", value=None, expected=None, advice="", details={}
    )


def test_a_failed_step_is_an_exit_code_and_an_advice(tmp_path, capsys):
    flags = ["--model=linear", "--learning_rate=50", "--steps=initial_loss,learning_rate"]
    assert check.cli([*flags, "--range_steps=60", f"--workdir={tmp_path}"]) == 1
    out, err = capsys.readouterr()
    assert "initial_loss   pass  2.30" in out
    assert re.search(r"learning_rate  fail  50, expected \S+ to \S+\n    --learning_rate=50 ", out)
    assert err.strip().endswith("1 of 6 steps failed: learning_rate")
    assert len(err.strip().splitlines()) == 1
    report = json.loads((tmp_path / "check.json").read_text())
    assert report["failed"] == ["learning_rate"]
    assert 'class="tile fail"' in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "settings",
    [
        dict(loss="hinge", augment=("flip",)),
        dict(label_smoothing=0.1, optimizer="adamw", augment=("mixup",), learning_rate=0.01),
        pytest.param(
            dict(average="ema", clip_norm=1.0, warmup_epochs=1.0, schedule="step"),
            marks=pytest.mark.slow,
        ),
        pytest.param(dict(limit=10, batch_size=64), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_flags_of_train_are_obeyed(tmp_path, settings):
    report = check.main(config(tmp_path, **settings, steps=("learning_rate", "updates")))
    expected = (settings.get("learning_rate", 0.05), 1e-3)
    steps = by_name(report)
    assert steps["learning_rate"]["value"] == expected[0]
    assert steps["updates"]["value"] > 0


def test_the_rate_that_is_judged_is_scaled_like_train_s(tmp_path):
    settings = dict(steps=("learning_rate",), scale_learning_rate=128, learning_rate=0.2)
    report = check.main(config(tmp_path, **settings))
    assert by_name(report)["learning_rate"]["value"] == pytest.approx(0.2 * 32 / 128)


def saved(path, *, shape=(8, 8, 1), classes=10, activation=None):
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    x = layers.Flatten()(layers.Rescaling(1 / 64, offset=-1)(image))
    model = keras.Model(image, layers.Dense(classes, activation)(x))
    training.save_model(model, path, map(str, range(classes)))
    return str(path)


def test_a_keras_file_is_examined_as_it_is(tmp_path):
    file = saved(tmp_path / "mine.keras")
    steps = ("initial_loss", "memorize", "gradients")
    report = check.main(config(tmp_path / "run", model=file, steps=steps))
    assert report["failed"] == []
    assert by_name(report)["initial_loss"]["details"]["input_std"] == pytest.approx(1.5, abs=0.1)


def test_a_keras_file_with_a_softmax_is_found_out(tmp_path):
    file = saved(tmp_path / "mine.keras", activation="softmax")
    report = check.main(config(tmp_path / "run", model=file, steps=("initial_loss", "memorize")))
    assert report["failed"] == ["initial_loss", "memorize"]


def test_files_that_do_not_fit(tmp_path):
    (tmp_path / "text.keras").write_text("no archive")
    faults = {
        str(tmp_path / "absent.keras"): (RunError, "cannot read a model from"),
        str(tmp_path / "text.keras"): (RunError, "cannot read a model from"),
        saved(tmp_path / "large.keras", shape=(32, 32, 3)): (UsageError, "takes images"),
        saved(tmp_path / "few.keras", classes=3): (UsageError, "3 outputs"),
    }
    for file, (error, message) in faults.items():
        with pytest.raises(error) as caught:
            check.main(config(tmp_path / "run", model=file))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(steps=("memorise",)), "did you mean 'memorize'"),
        (dict(range_steps=5), "of at least 20"),
        (dict(model="resnet21"), "did you mean 'resnet"),
        (dict(limit=4), "4 training images for 10 classes: raise --limit"),
        (dict(model="mine.keras", dropout=0.5), "--dropout is for networks of the registry"),
        (dict(optimizer="lbfgs"), "lbfgs"),
        (dict(loss="hinge", label_smoothing=0.1), "hinge"),
        (dict(augment=("cut",)), "--augment"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_wrong_values_are_one_clear_line(tmp_path, settings, message):
    with pytest.raises(UsageError) as error:
        check.main(config(tmp_path / "run", **settings))
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_another_run_s_directory_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"model": "lenet5"}))
    assert check.cli(["--model=linear", f"--workdir={tmp_path}"]) == 2
    assert "contains another run" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_steps_are_the_doctor_s(examined):
    report = json.loads((examined[0] / "check.json").read_text())
    assert tuple(step["name"] for step in report["steps"]) == check.STEPS
    assert set(check.Config.__dataclass_fields__) > set(check.train.Config.__dataclass_fields__)
