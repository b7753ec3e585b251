"""Builders in a user's file, FILE.py:FUNCTION: build, train, tune, resume, load, refuse."""

import csv
import dataclasses
import functools
import hashlib
import json
import pathlib
import random
import re
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from cvcourse.recipes import train, tune
from recipe_runs import assert_same_run

from cvcourse import __main__ as command_line
from cvcourse import classifier, data, models, recipe, source_file, training, tuning
from cvcourse.errors import RunError, UsageError
from cvcourse.recipe.child_process import ChildProcess

BLOCKS = """
import keras


@keras.saving.register_keras_serializable("own_builder_test")
class Scale(keras.layers.Layer):
    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones")

    def call(self, x):
        return self.start * self.scale * x

    def get_config(self):
        return super().get_config() | {"start": self.start}
"""
NET = """
import keras
from keras import layers
from own_blocks import Scale

INITIALIZER = keras.initializers.HeNormal()


def tiny(*, width=4, dropout=0.2, input_shape, num_classes):
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(width, 3, 2, activation="relu", kernel_initializer=INITIALIZER)(inputs)
    x = layers.Flatten()(Scale(0.5)(x))
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32")(x))


def line(input_shape=(8, 8, 1), num_classes=10, name="mine"):
    net = keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes)])
    net.compile("sgd", "mse")
    return net
"""
TINY_WEIGHTS = (9 * 4 + 4) + 4 + (3 * 3 * 4 * 10 + 10)  # of 8x8x1 images: kernel, scale, dense
WRONG = {  # a function's body: the message
    "return 1 / 0": "nets/wrong.py, line 7: ZeroDivisionError: division by zero",
    "return keras.Model(i, layers.Conv2D(3, 99)(i))": (
        "nets/wrong.py, line 7: ValueError: Computed output size would be "
    ),
    "return None": "nets/wrong.py:f returns NoneType, not a keras.Model",
    "return Subclass()": "nets/wrong.py:f returns a model without a graph",
    "return keras.Sequential([layers.Dense(3)])": "nets/wrong.py:f returns a model without a graph",
    "return keras.Model(i, [dense(i), dense(i)])": "has 1 inputs and 2 outputs",
    "return keras.Model(i, layers.Dense(3)(i))": (
        "outputs (None, 8, 8, 3), but logits (None, 3) are needed"
    ),
    "return keras.Model(i, dense(i, units=5))": "(None, 5), but logits (None, 3) are needed",
    "i = keras.Input((9, 9, 1)); return keras.Model(i, dense(i))": (
        "takes images (9, 9, 1), but was built with input_shape=(8, 8, 1)"
    ),
    'return keras.Model(i, dense(i, activation="softmax"))': "f ends in a softmax",
    "return keras.Model(i, layers.Softmax()(dense(i)))": "f ends in a softmax",
    'return keras.Model(i, layers.Activation("softmax")(dense(i)))': "f ends in a softmax",
    "return keras.Model(i, keras.ops.sigmoid(dense(i)))": "f ends in a sigmoid",
    'm = keras.Model(i, dense(i, activation="softmax")); return keras.Model(i, m(i))': (
        "f ends in a softmax"
    ),
    'return keras.Model(i, dense(i, dtype="mixed_bfloat16"))': (
        'outputs bfloat16 logits: its last layer needs dtype="float32"'
    ),
}
WRONG_TEXT = """
import keras
from keras import layers

def f(*, input_shape, num_classes):
    i = keras.Input(input_shape)
    {}

def dense(i, units=3, **options):
    return layers.Dense(units, **options)(layers.Flatten()(i))

class Subclass(keras.Model):
    pass
"""
UNSAVABLE = {  # a layer and its class: why it is refused
    "layers.Lambda(lambda x: 2 * x)": "the net of nets/wrong.py:f cannot be read from a .keras",
    "Unregistered()": "Could not locate class 'Unregistered'",
    # 48 + 75 of dense layers, and 4 * units of its own
    "Forgetful(5)": "it has 127 weights when read, and 143 here",
}
UNSAVABLE_TEXT = """
import keras
from keras import layers

class Unregistered(layers.Layer):
    def call(self, x):
        return x

@keras.saving.register_keras_serializable("own_builder_test")
class Forgetful(layers.Layer):
    def __init__(self, units=1, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4 * units, use_bias=False)
    def build(self, shape):
        self.dense.build(shape)
    def call(self, x):
        return keras.ops.mean(self.dense(x), -1, keepdims=True) + 0 * x
    def get_config(self):
        return {{"name": self.name}}

def f(*, input_shape, num_classes):
    i = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()({}(i))
    return keras.Model(i, layers.Dense(num_classes)(layers.Dense(24)(x)))
"""
FILES = {  # a file's text, and a function's name: the message
    ("import keras\ndef f(:\n", "f"): "nets/wrong.py, line 2: SyntaxError: invalid syntax",
    ("import keras\nimport absent\n", "f"): (
        "nets/wrong.py, line 2: ModuleNotFoundError: No module named 'absent'"
    ),
    ("import sys\n\nsys.exit(3)\n", "f"): "nets/wrong.py, line 3: SystemExit: 3",
    ("\x00", "f"): "nets/wrong.py: SyntaxError: source code string cannot contain null bytes",
    ("def tiny(): pass\n", "tinny"): (
        "nets/wrong.py: unknown function 'tinny': did you mean 'tiny'? choose from tiny"
    ),
    ("f = 3\n", "f"): "nets/wrong.py: f is int, not a function",
    ("def f(*, num_classes): pass\n", "f"): (
        "nets/wrong.py:f takes no input_shape; a builder is f(*, input_shape, num_classes)"
    ),
    ("def f(*args, **kwargs): pass\n", "f"): "takes no input_shape and no num_classes",
    ("def f(input_shape, /, *, num_classes): pass\n", "f"): "input_shape is positional-only",
    ("def f(*, width, input_shape, num_classes): pass\n", "f"): (
        "nets/wrong.py:f: its argument width needs a default"
    ),
    (
        "from cvcourse.recipes import train\n"
        'train.main(train.Config(model="nets/wrong.py:f", limit=40))\n',
        "f",
    ): "nets/wrong.py starts a run when imported",
}


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A folder with net.py and a module that it imports, in the working directory."""
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_blocks", None)  # of another test's folder
    folder = pathlib.Path("nets")
    folder.mkdir()
    (folder / "own_blocks.py").write_text(BLOCKS)
    (folder / "net.py").write_text(NET)
    return folder


def config(workdir, **settings):
    own = dict(model="nets/net.py:tiny", limit=40, epochs=3, batch_size=16, workdir=str(workdir))
    return train.Config(**{**own, "checkpoint_minutes": 1e-9, **settings})


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# --- building ---


def test_a_builder_of_ones_own_is_built_by_name(nets):
    net = models.build("nets/net.py:tiny", input_shape=(8, 8, 1), dropout=0.3)
    assert (net.name, net.output_shape, net.count_params()) == ("tiny", (None, 10), TINY_WEIGHTS)
    assert [layer.rate for layer in net.layers if layer.name.startswith("dropout")] == [0.3]
    assert models.builder_args("nets/net.py:tiny") == {
        "width": 4,
        "dropout": 0.2,
        "input_shape": None,
        "num_classes": 10,
    }
    assert models.cost("nets/net.py:tiny", input_shape=(8, 8, 1)).parameters == TINY_WEIGHTS
    assert models.input_shape_for("nets/net.py:tiny", (4, 5, 1)) == (4, 5, 1)
    assert models.family("nets/net.py:tiny") == "net"


def test_a_sequential_a_name_and_compiling_are_all_right(nets):
    net = models.build("nets/net.py:line", num_classes=3)
    assert (net.name, net.count_params(), net.compiled) == ("line", 64 * 3 + 3, False)
    assert models.build("nets/net.py:line", name="other").name == "other"
    assert models.with_preprocessing(net, (8, 8, 1), mean=[0], variance=[1]).output_shape == (
        None,
        3,
    )


def test_a_layer_may_have_the_name_of_the_one_that_preprocessing_adds(nets):
    body = "return keras.Model(i, dense(layers.Normalization(mean=3.0, variance=4.0)(i)))"
    (nets / "wrong.py").write_text(WRONG_TEXT.format(body))
    net = models.build("nets/wrong.py:f", input_shape=(8, 8, 1), num_classes=3)
    assert net.layers[1].name == "normalization"
    model = models.with_preprocessing(net, (8, 8, 1), mean=[10.0], variance=[25.0])
    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 1)).astype("float32")
    kernel, bias = net.get_weights()
    expected = (((x - 10) / 5 - 3) / 2).reshape(2, 64) @ kernel + bias
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-4)


def test_keras_names_may_be_arguments_of_a_users_builder_and_none_ends_at_its_features(nets):
    (nets / "own.py").write_text(
        "import keras\n"
        "from keras import layers\n"
        "def f(*, classes=7, pooling='avg', input_shape, num_classes):\n"
        "    i = keras.Input(input_shape)\n"
        "    x = layers.Conv2D(classes, 1, name='features')(i)\n"
        "    if num_classes is None:\n"
        "        return keras.Model(i, x)\n"
        "    return keras.Model(i, layers.Dense(num_classes)(layers.Flatten()(x)))\n"
    )
    net = models.build("nets/own.py:f", input_shape=(8, 8, 1), num_classes=None, classes=4)
    assert net.output_shape == (None, 8, 8, 4)
    assert models.features(net, pooling="max").output_shape == (None, 4)
    with pytest.raises(ValueError, match="num_classes=None ends the net at its features"):
        models.build("nets/own.py:f", input_shape=(8, 8, 1), include_top=False)


@pytest.mark.parametrize(("body", "message"), WRONG.items())
def test_what_is_no_network_is_one_line(nets, body, message):
    (nets / "wrong.py").write_text(WRONG_TEXT.format(body))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        models.build("nets/wrong.py:f", input_shape=(8, 8, 1), num_classes=3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("layer", "message"), UNSAVABLE.items())
def test_what_could_not_be_read_again_is_refused_before_training(nets, layer, message):
    (nets / "wrong.py").write_text(UNSAVABLE_TEXT.format(layer))
    net = models.build("nets/wrong.py:f", input_shape=(8, 8, 1), num_classes=3)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        models.require_savable(net, "nets/wrong.py:f")
    assert "register_keras_serializable" in str(error.value)


def test_what_can_be_read_again_draws_no_seeds(nets):
    net = models.build("nets/net.py:tiny", input_shape=(8, 8, 1))
    drawn = random.getstate()
    models.require_savable(net, "nets/net.py:tiny")
    assert random.getstate() == drawn


@pytest.mark.parametrize(("text", "message"), FILES.items())
def test_a_file_without_the_builder_is_one_line_and_exit_code_2(nets, text, message, capsys):
    (nets / "wrong.py").write_text(text[0])
    flags = ["--limit=40", "--workdir=run"]
    assert command_line.main(["train", f"--model=nets/wrong.py:{text[1]}", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not pathlib.Path("run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=nets/absent.py:f"], "cannot read nets/absent.py: No such file"),
        (["--model=nets:f"], "unknown model 'nets:f'"),
        (["--model=nets/net.py"], "name the builder in it, as nets/net.py:FUNCTION"),
        (
            ["--model=nets/net.py:line", "--dropout=0.1"],
            "nets/net.py:line: unknown argument 'dropout'",
        ),
        (["--model=nets/net.py:tiny", "--model_args=name=a"], "--model_args: name is set by"),
        (["--model=nets/net.py:tiny", "--stochastic_depth=0.1"], "has no blocks to drop"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_code_2(nets, flags, message, capsys):
    assert command_line.main(["train", "--limit=40", *flags]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_depth_is_scaled_as_a_number_and_of_cifar_resnets_by_six(nets):
    (nets / "deep.py").write_text("def f(*, depth=8, input_shape, num_classes): pass\n")
    half = keras_tuner.HyperParameters()
    half.values["depth"] = 0.5
    space = tuning.default_space(["depth"])
    scaled = [
        space(half, train.Config(model=model)).model_args["depth"]
        for model in ("nets/deep.py:f", "resnet20")
    ]
    assert scaled == [4, 14]  # 8 / 2; 20 = 6 * 3 + 2, and 6 * 2 + 2 = 14


# --- the file ---


def test_an_edited_file_is_imported_anew_but_not_while_a_run_holds_it(nets):
    first = source_file.load("nets/net.py:line")
    assert source_file.load("nets/net.py:line") is first
    (nets / "net.py").write_text("def line(): return 2\n")
    assert source_file.load("nets/net.py:line")() == 2
    with source_file.holding(["nets/net.py:line"]):
        held = source_file.digest("nets/net.py:line")
        (nets / "net.py").write_text("def line(): return 3\n")
        with pytest.raises(RunError, match=r"nets/net\.py has changed since the run began"):
            source_file.load("nets/net.py:line")
        assert source_file.digest("nets/net.py:line") == held
    assert source_file.load("nets/net.py:line")() == 3
    assert source_file.digest("nets/net.py:line") != held


def test_an_import_draws_the_same_seeds_in_each_process_and_leaves_none(nets):
    drawn = random.getstate()
    (nets / "same.py").write_text(NET)
    builders = [source_file.load(f"nets/{name}.py:tiny") for name in ("net", "same")]
    first, second = (builder.__globals__["INITIALIZER"].seed for builder in builders)
    assert first == second
    assert random.getstate() == drawn


# --- runs ---


@dataclasses.dataclass(frozen=True)
class Named:
    """The least of a config that names source code."""

    model: str = recipe.field("lenet5", "model", source=True)
    workdir: str | None = recipe.field(None, "workdir", free=True)


def test_the_hash_of_the_source_is_part_of_the_run(nets):
    run = Named("nets/net.py:tiny", "run")
    recognized = functools.partial(recipe.finished_metrics, recipe="x", metrics=())
    with recipe.open_run(run, "x", metrics=()) as claimed:
        claimed.begin()
    written = json.loads(pathlib.Path("run/config.json").read_text())
    assert written["sources"] == {"model": hashlib.sha256(NET.encode()).hexdigest()}
    (nets / "moved.py").write_text(NET)
    moved = dataclasses.replace(run, model="nets/moved.py:tiny")
    other = dataclasses.replace(run, model="nets/net.py:line")
    registry = dataclasses.replace(run, model="lenet5")
    for state in ("unfinished", "finished"):
        (nets / "net.py").write_text(NET)
        found = {"accuracy": 1.0} if state == "finished" else None
        assert recognized(run) == recognized(moved) == found
        for strange in (other, registry):
            with pytest.raises(UsageError, match=r"differs in model \(there 'nets/net\.py:tiny'"):
                recognized(strange)
        (nets / "net.py").write_text(NET + "# changed\n")
        message = r"nets/net\.py has changed since the run began: restore it, or choose"
        with pytest.raises(UsageError, match=message):
            recognized(run)
        assert recognized(moved) == found
        (nets / "net.py").unlink()
        with pytest.raises(UsageError, match=r"cannot read nets/net\.py"):
            recognized(run)
        pathlib.Path("run/metrics.json").write_text('{"accuracy": 1.0}')


def test_a_run_without_source_files_has_none_in_its_config(nets):
    with recipe.open_run(Named(workdir="run"), "x", metrics=()) as claimed:
        claimed.begin()
    assert "sources" not in json.loads(pathlib.Path("run/config.json").read_text())


def test_a_damaged_list_of_sources_is_one_line(nets):
    (nets / "config.json").write_text('{"sources": 3, "model": "nets/net.py:tiny"}')
    with pytest.raises(RunError, match="its sources are not hashes by field"):
        recipe.read_config(nets)


class Stop(Exception):
    """In place of a power cut."""


def test_a_run_resumes_to_the_bit_and_is_read_again(nets, monkeypatch, capsys):
    metrics = train.main(config("peace"))
    after = training.ExactResume.on_train_batch_end

    def killed(self, batch, logs=None):
        after(self, batch, logs)
        if self.step == 3:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(training.ExactResume, "on_train_batch_end", killed)
        with pytest.raises(Stop):
            train.main(config("war"))
    text = (nets / "net.py").read_text()
    (nets / "net.py").write_text(text.replace("width=4", "width=5"))
    for words in (["train", "--workdir=war"], ["resume", "war"]):
        assert command_line.main(words) == 2
        assert "nets/net.py has changed since the run began" in capsys.readouterr().err
    (nets / "net.py").write_text(text)
    assert command_line.main(["resume", "war"]) == 0
    assert_same_run(pathlib.Path("peace"), pathlib.Path("war"))
    assert metrics["parameters"] == TINY_WEIGHTS

    # As in another process, which has not imported the file.
    keras.saving.get_custom_objects().pop("own_builder_test>Scale")
    source_file._modules.clear()
    del sys.modules["own_blocks"]
    loaded = classifier.load("war").model
    image = np.full((1, 8, 8, 1), 100.0)
    same = keras.models.load_model("peace/model.keras")
    np.testing.assert_array_equal(loaded.predict(image), same.predict(image))

    keras.saving.get_custom_objects().pop("own_builder_test>Scale")
    (nets / "net.py").write_text(text + "# changed\n")
    with pytest.raises(UsageError, match=r"nets/net\.py has changed since the run began"):
        classifier.load("war")


def test_a_sweep_tunes_its_arguments_and_ends_where_the_file_changes(nets, monkeypatch):
    sweep = tune.Config(
        **{**vars(config("sweep")), "epochs": 1, "workdir": "sweep"},
        vary=("width", "dropout", "learning_rate"),
        trials=2,
        stop="none",
    )
    fit, begun = train.fit, []

    def edits(model, setting, dataset, run, **options):
        begun.append(run.path.parent.name)
        if begun == ["0"]:
            (nets / "net.py").write_text(NET + "# changed\n")
        return fit(model, setting, dataset, run, **options)

    monkeypatch.setattr(train, "fit", edits)
    with pytest.raises(RunError, match=r"nets/net\.py has changed since the run began"):
        tune.main(sweep)
    with pytest.raises(UsageError, match=r"nets/net\.py has changed since the run began"):
        tune.main(sweep)
    (nets / "net.py").write_text(NET)
    assert tune.main(sweep)["failed"] == 0
    assert begun == ["0", "1"]
    trials = rows("sweep/trials.csv")
    assert {float(row["width"]) for row in trials} <= {1.0, 0.75, 0.5}
    best = recipe.parse(train.Config, ["--config=sweep/best.json"])
    assert best.model_args["width"] in (2, 3, 4) and best.dropout is not None


@pytest.mark.slow
def test_other_processes_hold_the_file_too(nets):
    name = "nets/net.py:line"
    source_file.load(name)
    with source_file.holding([name]):
        work = functools.partial(source_file.digest, name)
        assert ChildProcess(work, nets / "log.txt").answer() == source_file.digest(name)
        (nets / "net.py").write_text(NET + "# changed\n")
        assert ChildProcess(work, nets / "log.txt").answer() == source_file.digest(name)
        with pytest.raises(RunError, match=r"nets/net\.py has changed since the run began"):
            ChildProcess(functools.partial(models.builder_args, name), nets / "log.txt").answer()


@pytest.mark.slow
def test_trials_in_processes_of_their_own_are_the_same(nets):
    common = {**vars(config("")), "epochs": 2, "vary": ("width", "learning_rate"), "trials": 2}
    for workdir, own in {"one": {}, "apart": {"isolate": True}, "two": {"workers": 2}}.items():
        tune.main(tune.Config(**{**common, "workdir": workdir, "stop": "none", **own}))
    curves = {
        workdir: [pathlib.Path(workdir, f"trials/{i}/run/history.csv").read_text() for i in (0, 1)]
        for workdir in ("one", "apart", "two")
    }
    assert curves["one"] == curves["apart"] == curves["two"]


def test_the_readme_s_builder_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (block,) = [block for block in blocks if "input_shape, num_classes" in block]
    pathlib.Path("net.py").write_text(block)
    assert re.search(r"^cvcourse train --model=net\.py:tiny ", readme, re.MULTILINE)
    dataset = data.load("digits", limit=40)
    model = train.build(train.Config(model="net.py:tiny"), dataset)
    assert model.output_shape == (None, 10)
    weights = np.concatenate([np.ravel(w) for w in model.get_weights()])
    assert np.isfinite(weights).all()
