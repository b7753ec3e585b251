"""Ensembles and averages of weights against NumPy; calibration against numbers made by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cvcourse import models, training
from cvcourse.regularization import (
    average_saved,
    average_weights,
    calibration,
    ensemble,
    errors_of_first_k,
    estimate_batch_norm,
)


def net(seed, *, classes=3, size=6, name="net"):
    """A small one with batch norm and dropout; those of one `size` have the same layer names."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, 1), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    logits = layers.Dense(classes, name="logits", kernel_initializer="random_normal")(x)
    model = keras.Model(image, logits, name=name)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def nets():
    return [net(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(9).normal(size=(16, 6, 6, 1)).astype("float32")


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def expected(nets, images):
    """The mean of the members' probabilities."""
    return np.mean([softmax(model.predict(images, verbose=0)) for model in nets], axis=0)


@pytest.mark.parametrize("count", [1, 3])
def test_an_ensemble_gives_the_mean_of_the_probabilities(count, nets, images):
    each = [softmax(model.predict(images, verbose=0)) for model in nets[:count]]
    model = ensemble(nets[:count])
    np.testing.assert_allclose(model.predict(images, verbose=0), np.mean(each, axis=0), atol=1e-6)
    taps = keras.Model(model.input, model.get_layer("member_probabilities").output)
    np.testing.assert_allclose(taps.predict(images, verbose=0), np.stack(each, axis=1), atol=1e-6)


def test_members_keep_their_names_and_stay_usable(nets, images):
    before = [model.predict(images, verbose=0) for model in nets]
    ensemble(nets)
    assert [model.name for model in nets] == ["net"] * 3
    for model, logits in zip(nets, before, strict=True):
        np.testing.assert_array_equal(model.predict(images, verbose=0), logits)


def test_an_ensemble_of_one_net_twice_is_that_net(nets, images):
    twice = ensemble([nets[0], nets[0]]).predict(images, verbose=0)
    np.testing.assert_allclose(twice, softmax(nets[0].predict(images, verbose=0)), atol=1e-6)


def test_architectures_may_differ(nets, images):
    other = models.build("mlp", hidden=(5,), input_shape=(6, 6, 1), num_classes=3)
    both = np.mean([softmax(m.predict(images, verbose=0)) for m in (nets[0], other)], axis=0)
    np.testing.assert_allclose(
        ensemble([nets[0], other]).predict(images, verbose=0), both, atol=1e-6
    )


def test_an_ensemble_is_saved_and_loaded(nets, images, expected, tmp_path):
    """As train's models are: with class names, ready for evaluate, which takes probabilities."""
    labels = np.arange(16) % 3
    training.save_model(ensemble(nets), tmp_path / "e.keras", "abc", from_logits=False)
    loaded = keras.models.load_model(tmp_path / "e.keras")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)
    judged = loaded.evaluate(images, labels, verbose=0, return_dict=True)
    nll = calibration.negative_log_likelihood(np.log(expected), labels)
    assert judged["loss"] == pytest.approx(nll, rel=1e-5)
    assert judged["accuracy"] == pytest.approx(calibration.accuracy(expected, labels))
    assert training.class_names(tmp_path / "e.keras") == ("a", "b", "c")


def test_an_ensemble_is_exported_as_a_saved_model(nets, images, expected, tmp_path):
    ensemble(nets).export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(images), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "mixed_bfloat16"])
def test_probabilities_are_float32_and_sum_to_1(kind, images):
    with training.precision(kind):
        members = [models.build("lenet5", input_shape=(32, 32, 1)) for _ in range(2)]
        model = ensemble(members)
    given = model.predict(np.pad(images, ((0, 0), (13, 13), (13, 13), (0, 0))), verbose=0)
    assert given.dtype == "float32"
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-6)


def test_an_ensemble_is_distilled_into_one_net(images, expected):
    """By Keras' Distiller, which wants logits of the teacher, and freezes it with its members."""
    teacher = ensemble([net(seed) for seed in range(3)])
    keras.utils.set_random_seed(1)
    frozen = [weights.copy() for weights in teacher.get_weights()]
    student = models.build("mlp", hidden=(32,), input_shape=(6, 6, 1), num_classes=3)
    distiller = keras.distillation.Distiller(
        keras.Model(teacher.input, keras.ops.log(teacher.output)),
        student,
        keras.distillation.LogitsDistillation(1.0, keras.losses.KLDivergence()),
        student_loss_weight=0.0,
    )
    distiller.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )

    def divergence():
        given = softmax(student.predict(images, verbose=0))
        return (expected * np.log(expected / given)).sum(axis=1).mean()

    before = divergence()
    steps = np.tile(images, (60, 1, 1, 1))
    distiller.fit(steps, np.zeros(len(steps), "int32"), batch_size=16, shuffle=False, verbose=0)
    assert divergence() < 0.01 * before
    for now, then in zip(teacher.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "received none"),
        (
            [net(0), net(0, size=8)],
            r"received net: \(None, 6, 6, 1\) -> \(None, 3\), net: \(None, 8",
        ),
        ([net(0), net(0, classes=4)], r"-> \(None, 4\)"),
        ([keras.Sequential([keras.Input((4, 4, 1)), layers.ReLU()])], r"\(batch, classes\)"),
    ],
)
@pytest.mark.parametrize("function", [ensemble, average_weights])
def test_members_must_fit(function, members, message):
    with pytest.raises(ValueError, match=message):
        function(members)


def test_weights_are_averaged_and_the_members_are_left_alone(nets):
    before = [[w.copy() for w in model.get_weights()] for model in nets]
    average = average_weights(nets)
    for mean, *values in zip(average.get_weights(), *before, strict=True):
        np.testing.assert_allclose(mean, np.mean(values, axis=0), rtol=1e-6)
    for model, values in zip(nets, before, strict=True):
        for now, then in zip(model.get_weights(), values, strict=True):
            np.testing.assert_array_equal(now, then)


def test_an_average_with_its_own_statistics(nets, images):
    """Estimated on batches of one size, they are those of all images."""
    average = estimate_batch_norm(average_weights(nets), [images[:8], images[8:]])
    maps = keras.Model(average.input, average.get_layer("conv").output).predict(images, verbose=0)
    np.testing.assert_allclose(
        average.get_layer("norm").moving_mean, maps.mean(axis=(0, 1, 2)), rtol=1e-4
    )


def test_saved_nets_are_averaged_and_the_mean_has_statistics_of_its_own(nets, images, tmp_path):
    files = [tmp_path / f"{number}.keras" for number in range(len(nets))]
    for model, file in zip(nets, files, strict=True):
        model.save(file)
    batches = [images[:8], images[8:]]
    expected = estimate_batch_norm(average_weights(nets), batches).get_weights()
    for value, other in zip(average_saved(files, batches).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_unlike_weights_are_not_averaged(nets):
    other = models.build("mlp", hidden=(5,), input_shape=(6, 6, 1), num_classes=3)
    with pytest.raises(ValueError, match="received net, mlp, whose weights have different shapes"):
        average_weights([nets[0], other])


# Four answers by hand. Confidences .9, .6, .7 and .7; the second and the last are wrong.
GIVEN = np.array([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.2, 0.1, 0.7], [0.7, 0.2, 0.1]])
LABELS = np.array([0, 0, 2, 1])
with np.errstate(divide="ignore"):
    LOGS = np.log(GIVEN)


def test_accuracy_and_likelihood_by_hand():
    assert calibration.accuracy(GIVEN, LABELS) == 0.5
    nll = -(np.log(0.9) + np.log(0.3) + np.log(0.7) + np.log(0.2)) / 4
    assert calibration.negative_log_likelihood(LOGS, LABELS) == pytest.approx(nll)
    assert calibration.negative_log_likelihood(LOGS, np.array([2, 0, 0, 0])) == np.inf
    with pytest.raises(ValueError, match=r"received 0\.9: pass np\.log of probabilities"):
        calibration.negative_log_likelihood(GIVEN, LABELS)


def test_likelihoods_that_float64_has_no_probability_for():
    """Margins of 800 and 1 nats: a mean of 800 and log(1 + 1/e)."""
    logits, labels = np.array([[800, 0], [1, 0]], "float32"), np.array([1, 0])
    given = training.Evaluation(logits, labels).log_probabilities
    assert np.exp(given[0, 1]) == 0
    assert calibration.negative_log_likelihood(given, labels) == pytest.approx(400.16, abs=5e-3)
    assert calibration.measures(given[None], labels)["nll"] == pytest.approx(400.16, abs=5e-3)
    both = calibration.measures(np.stack([given, given - [[200, 0], [0, 0]]]), labels)
    assert both["nll"] == pytest.approx(400.16, abs=5e-3)


def test_the_log_of_a_mean():
    members = np.stack([LOGS, LOGS[::-1]])
    mean = (GIVEN + GIVEN[::-1]) / 2
    np.testing.assert_allclose(np.exp(calibration.log_mean(members)), mean, atol=1e-12)
    # e^-800 and e^-802, halved
    logs = calibration.log_mean(np.array([[[-800.0]], [[-802.0]]]))
    assert logs[0, 0] == pytest.approx(-800 + np.log1p(np.exp(-2)) - np.log(2))


def test_calibration_error_by_hand():
    """Five bins: .6 falls into (.4, .6], .7 twice into (.6, .8], .9 into (.8, 1]."""
    counts, confidences, accuracies = calibration.reliability(GIVEN, LABELS, bins=5)
    np.testing.assert_array_equal(counts, [0, 0, 1, 2, 1])
    np.testing.assert_allclose(confidences, [0, 0, 0.6, 0.7, 0.9])
    np.testing.assert_allclose(accuracies, [0, 0, 0, 0.5, 1])
    error = (1 * 0.6 + 2 * 0.2 + 1 * 0.1) / 4
    assert calibration.expected_calibration_error(GIVEN, LABELS, bins=5) == pytest.approx(error)


def test_calibration_error_is_0_for_the_honest_and_15_bins_are_usual():
    """A tenth of a thousand answers given at 90 % is wrong."""
    given = np.tile([0.9, 0.1], (1000, 1))
    labels = (np.arange(1000) % 10 == 0).astype(int)
    assert calibration.expected_calibration_error(given, labels) == pytest.approx(0, abs=1e-12)
    # .81 and .89 share a bin of 10, where the one's wrongness evens out the other's rightness.
    given = np.array([[0.81, 0.19], [0.89, 0.11]])
    apart = calibration.expected_calibration_error(given, np.array([1, 0]))
    together = calibration.expected_calibration_error(given, np.array([1, 0]), bins=10)
    assert apart == pytest.approx((0.81 + 0.11) / 2)
    assert together == pytest.approx(0.85 - 0.5)


def test_disagreement_by_hand():
    """Three members on four examples: pairs differ on 1, 3 and 2 of them."""
    answers = np.array([[0, 1, 2, 0], [0, 1, 2, 1], [0, 2, 0, 1]])
    members = np.eye(3)[answers]
    assert calibration.disagreement(members) == pytest.approx((1 + 3 + 2) / 3 / 4)
    assert calibration.disagreement(members[:1]) is None


def test_measures_are_of_the_mean():
    members = np.stack([GIVEN, GIVEN[::-1]])
    mean = members.mean(axis=0)
    assert calibration.measures(np.stack([LOGS, LOGS[::-1]]), LABELS) == {
        "accuracy": calibration.accuracy(mean, LABELS),
        "nll": pytest.approx(-np.log(mean[np.arange(4), LABELS]).mean()),
        "ece": pytest.approx(calibration.expected_calibration_error(mean, LABELS)),
        "disagreement": calibration.disagreement(members),
    }


def test_errors_of_the_first_members_averaged_by_hand():
    """The second member is certain of the labels, the third of the class after each."""
    right = np.log(np.clip(np.eye(3)[LABELS], 1e-6, 1))
    wrong = np.log(np.clip(np.eye(3)[(LABELS + 1) % 3], 1e-6, 1))
    assert errors_of_first_k([[LOGS, right, right]], LABELS) == [0.5, 0.0, 0.0]
    # Of .3, .6, .1 and 0, 1, 0 the mean is .15, .8, .05, and so on.
    assert errors_of_first_k([[LOGS, wrong], [LOGS, right]], LABELS) == [0.5, 0.5]
