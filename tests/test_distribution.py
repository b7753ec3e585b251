"""Several devices and workers make what one device makes; what cannot be says so in one line."""

import json
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from crash import environment, started, until
from cvcourse.recipes.benchmarks.distribution import loopback, tf_configs

from cvcourse import distribution
from cvcourse.errors import RunError, UsageError

SMALL = ("--limit=203", "--batch_size=32", "--epochs=2", "--no-test")
CASES = {  # what differs from the defaults, and the largest difference of a weight
    "nesterov": ({}, 1e-6),
    "sgd": ({"optimizer": "sgd"}, 1e-6),
    "adam": ({"optimizer": "adam", "learning_rate": 0.001}, 1e-5),
    "adamw": ({"optimizer": "adamw", "learning_rate": 0.001, "weight_decay": 0.05}, 1e-5),
    "label_smoothing": ({"label_smoothing": 0.1}, 1e-6),
    "clip_norm": ({"clip_norm": 0.5}, 1e-6),
    "ema": ({"average": "ema"}, 1e-6),
    "swa": ({"average": "swa", "epochs": 4}, 1e-5),
    "accumulate": ({"accumulate": 3, "clip_norm": 0.5}, 1e-6),
    "accumulate_adamw": ({"accumulate": 2, "optimizer": "adamw", "learning_rate": 0.001}, 1e-5),
    "accumulate_ema": ({"accumulate": 2, "average": "ema", "schedule": "linear"}, 1e-6),
    "mixup": ({"augment": ("shift", "mixup")}, 1e-6),
    "batch_norm": ({"model": "resnet20", "model_args": {"depth": 8}}, 1e-5),
    "mixed_bfloat16": ({"precision": "mixed_bfloat16"}, 0.1),
    "mixed_float16": ({"precision": "mixed_float16", "clip_norm": 0.5}, 1e-2),
}
COMPARE = """
import csv, json, sys
from cvcourse.startup import import_tensorflow_quietly
import_tensorflow_quietly()
import keras, numpy as np
from cvcourse.recipes import train
from cvcourse.training import report

report.svg = lambda figure: ""  # it takes its time
cases, devices, folder = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for name, changes in cases.items():
    weights, curves = [], []
    for strategy in ("none", "mirrored"):
        values = dict(limit=203, epochs=2, batch_size=32, test=False, seed=3)
        values |= dict(strategy=strategy, cpu_devices=devices)
        values |= changes | {"augment": tuple(changes.get("augment", ("shift",)))}
        path = f"{folder}/{name}-{strategy}"
        metrics = train.main(train.Config(**values, workdir=path))
        assert metrics["strategy"] == strategy
        assert metrics["replicas"] == (devices if strategy == "mirrored" else 1)
        model = keras.saving.load_model(f"{path}/model.keras", compile=False)
        weights.append(model.get_weights())
        rows = list(csv.reader(open(f"{path}/history.csv")))[1:]
        curves.append(np.array(rows, "float64"))
    far = max(float(np.abs(a - b).max()) for a, b in zip(*weights, strict=True))
    moved = float(np.abs(curves[0] - curves[1]).max())
    print("RESULT", json.dumps([name, far, moved]), flush=True)
"""


def differences(cases, devices, folder, backend):
    """{case: (largest difference of a weight, of the curves)} of mirrored to one device."""
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, json.dumps(cases), str(devices), str(folder)],
        env=environment(KERAS_BACKEND=backend),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if "RESULT" in line]
    return {name: (far, moved) for name, far, moved in map(json.loads, lines)}


FAST = ("accumulate_ema", "batch_norm")  # all are below, among the slow ones


@pytest.mark.parametrize(
    "backend,devices", [("tensorflow", 2), pytest.param("jax", 2, marks=pytest.mark.slow)]
)
def test_two_devices_make_the_weights_of_one(backend, devices, tmp_path):
    cases = {name: CASES[name][0] for name in FAST}
    found = differences(cases, devices, tmp_path, backend)
    assert set(found) == set(FAST)
    for name, (far, moved) in found.items():
        assert far <= CASES[name][1], name
        assert moved <= 1e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("backend,devices", [("tensorflow", 2), ("jax", 2), ("jax", 4)])
def test_several_devices_make_the_weights_of_one(backend, devices, tmp_path):
    found = differences(
        {name: case for name, (case, _) in CASES.items()}, devices, tmp_path, backend
    )
    assert {name: far for name, (far, _) in found.items() if far > CASES[name][1]} == {}
    assert set(found) == set(CASES)


DRAWS = """
import json, sys
import numpy as np
from cvcourse.startup import import_tensorflow_quietly
import_tensorflow_quietly()
import keras, tensorflow as tf
from cvcourse import distribution, layers

plain = keras.random.SeedGenerator.next
mirrored = distribution.start("mirrored", 2)
image = keras.Input((8, 8, 2))

def make():
    return {
        "dropout": keras.layers.Dropout(0.5, seed=1),
        "spatial": keras.layers.SpatialDropout2D(0.5, seed=1),
        "noise": keras.layers.GaussianNoise(1.0, seed=1),
        "path_image": layers.DropPath(0.5, seed=1),
        "path_batch": layers.DropPath(0.5, "batch", "test", seed=1),
        "scheduled": layers.ScheduledDropPath(0.5, steps=1, seed=1),
        "scheduled_batch": layers.ScheduledDropPath(0.5, steps=1, seed=1, per="batch"),
        "column": layers.ColumnDraw(3, seed=1),
        "pooling": layers.FractionalMaxPooling2D(1.4, seed=1),
    }

def net():
    made = make()
    outputs = {name: layer(image) for name, layer in made.items()}
    join = layers.FractalJoin(0.5, seed=1)
    none = keras.ops.zeros_like(outputs["column"])
    outputs["join"] = join([image, keras.ops.sqrt(image), keras.ops.square(image), none])
    return keras.Model(image, outputs), {**made, "join": join}

def draws(run, states):
    steps = []
    for _ in range(12):
        steps.append({k: [np.array(part) for part in v] for k, v in run().items()})
    return steps, {k: np.array(layer.seed_generator.state.value) for k, layer in states.items()}

one = np.random.default_rng(0).random((1, 8, 8, 2)).astype("float32")
x = tf.constant(np.repeat(one, 4, axis=0))
alone, states = net()
single, seeds = draws(lambda: {k: [v] for k, v in alone(x, training=True).items()}, states)
with mirrored.scope():
    both, states_of_both = net()
step = tf.function(lambda: mirrored.strategy.run(lambda: both(x, training=True)))
local = mirrored.strategy.experimental_local_results
double, seeds_of_both = draws(lambda: {k: local(v) for k, v in step().items()}, states_of_both)
keras.random.SeedGenerator.next = plain
again, _ = net()
fresh, _ = draws(lambda: {k: [v] for k, v in again(x, training=True).items()}, states)
same = lambda a, b: bool(np.array_equal(a, b))
for name in single[0]:
    print("RESULT", json.dumps([name, {
        "steps differ": not all(same(double[0][name][0], later[name][0]) for later in double[1:]),
        "replicas agree": [same(*step[name]) for step in double].count(True),
        "first replica is one device": all(
            np.allclose(a[name][0], b[name][0], atol=1e-6) for a, b in zip(single, double)
        ),
        "one device is Keras": all(same(a[name][0], b[name][0]) for a, b in zip(single, fresh)),
        "states agree": same(seeds[name], seeds_of_both[name]),
    }]))
"""


def test_replicas_draw_for_their_own_images_and_alike_for_a_whole_batch():
    done = subprocess.run(
        [sys.executable, "-c", DRAWS], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if "RESULT" in line]
    found = dict(map(json.loads, lines))
    whole_batch = {"path_batch", "scheduled_batch", "column", "join", "pooling"}
    assert whole_batch < set(found)
    for name, facts in found.items():
        agree = facts.pop("replicas agree")
        # Of four images' gates chance makes one step in 16 agree.
        assert agree == 12 if name in whole_batch else agree <= 3, name
        assert all(facts.values()), (name, facts)


RESUMED = """
import sys
from cvcourse.startup import import_tensorflow_quietly
import_tensorflow_quietly()
from cvcourse.recipes import train
from cvcourse import training

class Stop(BaseException):
    pass

def run(name):
    train.main(train.Config(
        model="mlp", model_args={"hidden": (8,)}, dropout=0.5, strategy="mirrored", cpu_devices=2,
        limit=64, batch_size=16, epochs=2, test=False, checkpoint_minutes=1e-9,
        workdir=f"{sys.argv[1]}/{name}",
    ))

run("peace")
after = training.ExactResume.on_train_batch_end

def crash(self, batch, logs=None):
    after(self, batch, logs)
    if self.step == 6:
        raise Stop

training.ExactResume.on_train_batch_end = crash
try:
    run("war")
except Stop:
    print("STOPPED")
training.ExactResume.on_train_batch_end = after
run("war")
"""


@pytest.mark.slow
def test_replicas_draw_the_same_after_a_crash(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RESUMED, str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "STOPPED" in done.stdout
    assert furthest(tmp_path / "peace", tmp_path / "war") == 0
    peace, war = ((tmp_path / run / "history.csv").read_text() for run in ("peace", "war"))
    assert peace == war


# ---- several processes ----


def begin(backend, folder, *flags, different=()):
    """Start two workers of `cvcourse train` in a run directory: the processes."""
    addresses = loopback(2)
    processes = []
    for index, described in enumerate(tf_configs(addresses)):
        changes = {
            "tensorflow": {"TF_CONFIG": described},
            "jax": {
                "KERAS_BACKEND": "jax",
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": ",".join(addresses),
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            },
        }[backend]
        words = [*flags, *(different if index else ()), f"--workdir={folder}"]
        command = [sys.executable, "-m", "cvcourse", "train", *words]
        processes.append(started(command, env=changes, stderr=subprocess.STDOUT))
    return processes


def end(processes):
    """[(exit code, output)] of processes, which must end within minutes."""
    try:
        outputs = [process.communicate(timeout=180)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, output) for p, output in zip(processes, outputs, strict=True)]


def alone(backend, folder, *flags):
    """The same run in one process."""
    words = [sys.executable, "-m", "cvcourse", "train", *flags, f"--workdir={folder}"]
    env = environment(KERAS_BACKEND=backend)
    subprocess.run(words, env=env, check=True, capture_output=True)


def arrays_of(folder):
    """The arrays in the newest checkpoint of a run."""
    newest = sorted(pathlib.Path(folder, "checkpoints").glob("step*"))[-1]
    with np.load(newest) as arrays:
        return {name: arrays[name] for name in arrays if name.startswith("variable")}


def furthest(one, other):
    """The largest difference between two runs' checkpointed variables."""
    one, other = arrays_of(one), arrays_of(other)
    assert set(one) == set(other)
    return max(np.abs(one[name].astype("float64") - other[name]).max() for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_workers_make_the_weights_of_one(backend, tmp_path):
    flags = (*SMALL, "--model=resnet20", "--model_args=depth=8", "--clip_norm=1", "--accumulate=2")
    for code, output in end(begin(backend, tmp_path / "two", *flags)):
        assert code == 0, output
        assert "multi_worker, 2 replicas of 2 workers" in output
    alone(backend, tmp_path / "one", *flags)
    assert furthest(tmp_path / "one", tmp_path / "two") <= 1e-5
    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert (metrics["strategy"], metrics["replicas"]) == ("multi_worker", 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("victim", [0, 1])
def test_after_a_kill_all_stop_and_go_on_to_the_same_weights(backend, victim, tmp_path):
    flags = ("--limit=400", "--batch_size=16", "--epochs=12", "--no-test")
    flags += ("--checkpoint_minutes=0.02",)
    for code, output in end(begin(backend, tmp_path / "whole", *flags)):
        assert code == 0, output
    processes = begin(backend, tmp_path / "cut", *flags)
    until(lambda: list((tmp_path / "cut").glob("checkpoints/step*")), *processes)
    processes[victim].kill()
    code, output = end(processes)[1 - victim]
    assert code == 1
    assert "one of the 2 workers is dead" in output
    for code, output in end(begin(backend, tmp_path / "cut", *flags)):
        assert code == 0, output
    assert furthest(tmp_path / "whole", tmp_path / "cut") == 0


@pytest.mark.slow
def test_workers_that_differ_are_told_so(tmp_path):
    processes = begin("tensorflow", tmp_path / "run", *SMALL, different=["--learning_rate=0.02"])
    for code, output in end(processes):
        assert code == 2
        assert "worker 1 has a different learning_rate: 0.02, not 0.05" in output
    assert not (tmp_path / "run").exists()


# ---- what the environment says ----

WORKERS = {"worker": ["a:1", "b:2"]}


def test_tf_config_s_chief_comes_first(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    jobs = {"worker": ["a:1"], "chief": ["b:2"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
    assert distribution.cluster() == distribution.Cluster(("b:2", "a:1"), 1)
    assert not distribution.is_chief()
    assert distribution.is_chief("none")


def test_a_cluster_of_one_is_none(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    values = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(values))
    assert distribution.cluster() is None


@pytest.mark.parametrize(
    "text,sentence",
    [
        ("{", "TF_CONFIG: Expecting"),
        ("[]", "TF_CONFIG: it is not an object"),
        (json.dumps({"cluster": WORKERS}), "it lacks 'type'"),
        (json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}), "worker 2"),
        (
            json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}),
            "the job 'ps' is unknown",
        ),
        (
            json.dumps(
                {"cluster": {"worker": ["a", "b:1"]}, "task": {"type": "worker", "index": 0}}
            ),
            "an address is HOST:PORT; received 'a'",
        ),
    ],
)
def test_a_malformed_tf_config_is_one_line(monkeypatch, text, sentence):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=sentence):
        distribution.cluster()


@pytest.mark.parametrize(
    "values,sentence",
    [
        (("a:1", "2", ""), "KERAS_DISTRIBUTION_PROCESS_ID is missing"),
        (("a:1", "two", "0"), "whole numbers"),
        (("a:1,b:2", "3", "0"), "do not match"),
        (("a:1", "2", "2"), "do not match"),
    ],
)
def test_a_malformed_keras_cluster_is_one_line(monkeypatch, values, sentence):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for variable, value in zip(distribution.JAX.values(), values, strict=True):
        monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=sentence):
        distribution.cluster()


def test_a_port_in_use_is_one_line():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RunError, match=f"cannot serve at {address}"):
            distribution._require_free(address)
    distribution._require_free(address)


def test_a_batch_is_shared_in_equal_parts():
    three = distribution.SingleDevice(["a", "b", "c"])
    three.require_divisible(33)
    with pytest.raises(UsageError, match="--batch_size=32 is not divisible by 3 replicas: use 30"):
        three.require_divisible(32)


def test_old_names_warn():
    with pytest.warns(FutureWarning, match="distribution.without_strategy"):
        assert distribution.alone is distribution.without_strategy


def test_devices_that_are_not_there():
    with pytest.raises(RunError, match="no TPU here; there is /device:CPU:0"):
        distribution.start("tpu")
    with pytest.raises(UsageError, match="needs two or more workers, named by TF_CONFIG"):
        distribution.start("multi_worker")


PLAIN = """
import contextlib, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np

images = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
mirrored = tf.distribute.MirroredStrategy(
    ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
)

def weights(scope, **settings):
    keras.utils.set_random_seed(0)
    with scope:
        model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
        model.compile(keras.optimizers.SGD(1.0, **settings), "mse")
    model.fit(images, images[:, :3], batch_size=16, epochs=2, verbose=0)
    return model.get_weights()[0]

one = weights(contextlib.nullcontext(), global_clipnorm=0.1)
print("CLIPPED", float(np.abs(one - weights(mirrored.scope(), global_clipnorm=0.1)).max()))
try:
    weights(mirrored.scope(), gradient_accumulation_steps=2)
    print("ACCUMULATED")
except RuntimeError as error:
    print("REFUSED", str(error).replace(chr(10), " "))
"""
PLAIN_WORKER = """
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import keras, numpy as np

with strategy.scope():
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
model.fit(np.zeros((16, 4), "float32"), np.zeros((16, 3), "float32"), batch_size=8, verbose=0)
"""


@pytest.mark.slow
def test_keras_still_needs_the_repair_of_optimizers():
    """When this fails, Keras has mended it: `repair_optimizer` can go."""
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    clipped, accumulated = done.stdout.splitlines()
    assert float(clipped.split()[1]) > 1e-3
    assert accumulated.startswith("REFUSED") and "merge_call" in accumulated


@pytest.mark.slow
def test_keras_still_needs_the_repair_of_fit():
    """When this fails, Keras has mended it: `repair_multi_worker_fit` can go."""
    command = [sys.executable, "-c", PLAIN_WORKER]
    processes = [
        started(command, env={"TF_CONFIG": described}, stderr=subprocess.STDOUT)
        for described in tf_configs(loopback(2))
    ]
    for code, output in end(processes):
        assert code == 1
        assert "ValueError" in output and "PerReplica" in output
