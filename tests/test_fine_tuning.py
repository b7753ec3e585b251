"""The network that recipes change: where it comes from, and training it further."""

import dataclasses
import json
import logging

import keras
import numpy as np
import pytest
from cvcourse.recipes import train

from cvcourse import data, fine_tuning, models, recipe, training
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly


@dataclasses.dataclass(frozen=True)
class Config(recipe.SourceFields):
    """Settings of a recipe."""

    augment: tuple[str, ...] | None = recipe.field(None, "augmentations")


def net():
    keras.utils.set_random_seed(0)
    return models.build("mlp", hidden=(16,), input_shape=(8, 8, 1), num_classes=10)


def digits():
    return data.load("digits", limit=60)


@pytest.fixture
def source(tmp_path):
    """A run directory with a network of digits."""
    folder = tmp_path / "source"
    training.save_model(net(), folder / "model.keras", data.load("digits").class_names)
    settings = {"model": "mlp", "model_args": {"hidden": [16]}, "dataset": "digits", "limit": 60}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def run_of(path, **settings):
    """A stand-in for the Run of `recipe.open_run`."""
    path.mkdir(exist_ok=True)
    config = Config(**{"batch_size": 20, "learning_rate": 0.1, **settings})
    return recipe.workdir.Run(config, path, "cvcourse x", "x")


def test_the_dataset_is_that_of_the_source_or_the_usual_one(source):
    assert fine_tuning.resolve(Config(), "mnist").dataset == "mnist"
    assert fine_tuning.resolve(Config(dataset="cifar10"), "mnist").dataset == "cifar10"
    for place in (source, source / "model.keras"):
        found = fine_tuning.resolve(Config(source=str(place)), "mnist")
        assert (found.dataset, found.limit, found.model) == ("digits", 60, "mlp")
        assert found.model_args == {"hidden": [16]}
    given = Config(source=str(source), dataset="cifar10", limit=5)
    found = fine_tuning.resolve(given, "mnist")
    assert (found.dataset, found.limit) == ("cifar10", 5)
    changed = {"model": "gone.py:build", "dataset": "digits"}
    (source / "config.json").write_text(json.dumps(changed))
    found = fine_tuning.resolve(Config(source=str(source), model_args={"a": 1}), "mnist")
    assert (found.model, found.model_args) == ("build", {})
    (source / "config.json").unlink()
    found = fine_tuning.resolve(Config(source=str(source), dataset="digits"), "mnist")
    assert (found.model, found.model_args) == ("model", {})
    with pytest.raises(UsageError, match=r"has no config\.json with its dataset: give --dataset"):
        fine_tuning.resolve(Config(source=str(source)), "mnist")
    with pytest.raises(UsageError, match="--source=gone: no such run directory, "):
        fine_tuning.resolve(Config(source="gone"), "mnist")


def test_another_model_than_that_of_the_source_is_refused(source):
    with pytest.raises(UsageError, match=r"--input_shape=\(32, 32, 1\) does not fit --source"):
        fine_tuning.resolve(Config(source=str(source), input_shape=(32, 32, 1)), "mnist")
    given = Config(source=str(source), model="mlp")  # as in the command that resumes a run
    assert fine_tuning.resolve(given, "mnist").model == "mlp"
    with pytest.raises(
        UsageError, match=r"--model=resnet20 does not fit --source=\S+, which has mlp"
    ):
        fine_tuning.resolve(dataclasses.replace(given, model="resnet20"), "mnist")
    with pytest.raises(UsageError, match=r"--precision=mixed_bfloat16 does not fit .* float32"):
        fine_tuning.resolve(dataclasses.replace(given, precision="mixed_bfloat16"), "mnist")


def test_a_file_of_keras_alone_has_the_classes_of_the_dataset(tmp_path):
    path = tmp_path / "net.keras"
    net().save(path)
    config = Config(source=str(path), dataset="digits", limit=60)
    trained = fine_tuning.load(config, run_of(tmp_path / "run"), train)
    assert trained.class_names == tuple(digits().class_names)
    two = tmp_path / "two.npz"
    pixels = np.zeros((40, 8, 8, 1), "uint8")
    labels = np.arange(40) % 2
    np.savez(two, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    with pytest.raises(UsageError, match=r"has 10 outputs, and \S+two.npz has 2 classes"):
        fine_tuning.load(dataclasses.replace(config, dataset=str(two)), None, train)
    with pytest.raises(UsageError, match=r"two.npz is neither a run's directory nor a .keras or"):
        fine_tuning.load(dataclasses.replace(config, source=str(two)), None, train)
    image = keras.Input((8, 8, 1))
    classes = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(image))
    keras.Model(image, classes).save(path)
    with pytest.raises(UsageError, match="ends with softmax, and the loss takes logits"):
        fine_tuning.load(config, None, train)


def test_tensorflow_does_not_warn_of_many_trainings(caplog):
    import_tensorflow_quietly()
    import_tensorflow_quietly()
    logger = logging.getLogger("tensorflow")
    logger.warning("5 out of the last %d calls triggered tf.function retracing.", 5)
    logger.warning("Gradients do not exist for variables")
    assert caplog.messages == ["Gradients do not exist for variables"]


def test_a_source_is_loaded_with_its_dataset(source, tmp_path):
    config = fine_tuning.resolve(Config(source=str(source)), "mnist")
    checked = []
    run = run_of(tmp_path / "run")
    trained = fine_tuning.load(config, run, train, check=checked.append)
    assert checked == [trained.model]
    assert trained.path == source / "model.keras"
    assert len(trained.dataset.train) == len(digits().train)
    np.testing.assert_array_equal(trained.model.get_weights()[0], net().get_weights()[0])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("npz", "was trained for the classes 0, 1, 2, 3, 4 …"),
        ("large", "takes images of the shape"),
    ],
)
def test_a_dataset_that_does_not_fit_is_refused(source, tmp_path, dataset, message):
    classes = 10 if dataset == "large" else 4
    pixels = np.zeros((60, 12, 12, 1), "uint8")
    labels = np.arange(60) % classes
    path = tmp_path / "other.npz"
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    config = Config(source=str(source), dataset=str(path))
    with pytest.raises(UsageError, match=message):
        fine_tuning.load(config, run_of(tmp_path / "run"), train)


def test_what_cannot_be_changed_is_refused_before_the_training(tmp_path):
    def refuse(model):
        raise ValueError(f"{model.name} has nothing to change")

    config = Config(model="mlp", dataset="digits", limit=60)
    run = run_of(tmp_path / "run")
    with pytest.raises(UsageError, match="mlp has nothing to change"):
        fine_tuning.load(config, run, train, check=refuse)
    with pytest.raises(UsageError, match="wide"):
        wrong = dataclasses.replace(config, model_args={"wide": 3})
        fine_tuning.load(wrong, run, train)
    assert [*run.path.iterdir()] == []


def test_a_finished_training_is_restored(tmp_path, monkeypatch):
    """Two epochs without warm-up and augmentation; then nothing is trained again."""
    run = run_of(tmp_path / "run", warmup_epochs=5.0, augment=(), optimizer="sgd", epochs=9)
    seen = []
    real = data.stream
    monkeypatch.setattr(data, "stream", lambda *a, **k: seen.append(k) or real(*a, **k))
    model = net()
    settings = {"epochs": 2, "learning_rate": 0.2}
    fitted = fine_tuning.fine_tune(model, run, "phase", digits(), **settings)
    assert [row["epoch"] for row in fitted.history] == [1, 2]
    assert fitted.history[-1]["learning_rate"] == pytest.approx(0, abs=1e-6)  # cosine, no warm-up
    assert seen[0]["augment"] == () and seen[0]["batch_size"] == 20
    monkeypatch.setattr(keras.Model, "fit", None)
    again = net()
    restored = fine_tuning.fine_tune(again, run, "phase", digits(), **settings)
    for x, y in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
    assert restored.history == fitted.history


def test_settings_that_do_not_fit_each_other_are_usage_errors(tmp_path):
    run = run_of(tmp_path / "run", schedule="cosine_restarts")
    with pytest.raises(UsageError, match="needs cycles"):
        fine_tuning.fine_tune(net(), run, "phase", digits(), epochs=1)


def test_evaluations_are_those_of_numpy():
    model, dataset = net(), digits()
    found = fine_tuning.evaluate(model, dataset, batch_size=7)
    for split, evaluation in zip((dataset.validation, dataset.test), found, strict=True):
        given = np.argmax(model(split.images.astype("float32")), axis=1)
        assert evaluation.accuracy == pytest.approx((given == split.labels).mean())
    assert fine_tuning.evaluate(model, dataclasses.replace(dataset, test=None))[1] is None
