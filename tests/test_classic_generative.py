"""Losses of GANs and of contrastive learning, shapes of networks, and noise of diffusion."""

import functools
import math

import classic_cases
import keras
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal

from cvcourse.classic import diffusion, generative, self_supervised

pytestmark = pytest.mark.usefixtures("double_precision")


def simclr(tau):
    """A pair of the loss of two arrays of vectors."""

    def loss(**views):
        value, *gradients = self_supervised.simclr_loss(*views.values(), tau)
        return value, tuple(gradients)

    return functools.partial(Pair, loss, None)


def adversarial(loss):
    """A pair of a loss of logits."""

    def value_and_gradients(**logits):
        value, *gradients = loss(*logits.values())
        return value, tuple(gradients)

    return functools.partial(Pair, value_and_gradients, None)


def losses_of(discriminator, generator):
    return lambda logits_real, logits_fake: {
        "discriminator": discriminator(logits_real, logits_fake)[0],
        "generator": generator(logits_fake)[0],
    }


def simclr_fixture(left, right, temperature):
    return {"loss": self_supervised.simclr_loss(left, right, temperature)[0]}


def count(layers, shape):
    return {"parameters": sum(map(math.prod, generative.parameter_shapes(layers, shape)))}


def count_affine(layers):
    return count([("affine", units) for units in layers[1:]], (layers[0],))


DCGAN_CLASSIFIER = [
    *(("conv", 32, 5), ("max_pool", 2), ("conv", 64, 5), ("max_pool", 2)),
    *(("affine", 1024), ("affine", 1)),
]
DCGAN_GENERATOR = [
    *(("affine", 1024), ("batchnorm",), ("affine", 6272), ("batchnorm",), ("reshape", 128, 7, 7)),
    *(("conv_transpose", 64, 4, 2), ("batchnorm",), ("conv_transpose", 1, 4, 2)),
]


def diffusion_noising(x_start, noise, t, timesteps, schedule, **settings):
    betas = diffusion.sigmoid_schedule(timesteps, **settings)
    return {"x_t": diffusion.q_sample(x_start, t, noise, betas)}


FIXTURES = {
    "cosine_similarity": lambda text, image: {
        "out": self_supervised.cosine_similarity(text, image)
    },
    "simclr_similarity": lambda left, right: {
        "pairs": self_supervised.sim_positive_pairs(left, right),
        "matrix": self_supervised.compute_sim_matrix(np.concatenate([left, right])),
    },
    "simclr_loss_1": simclr_fixture,
    "simclr_loss_5": simclr_fixture,
    "gan_losses": losses_of(generative.discriminator_loss, generative.generator_loss),
    "lsgan_losses": losses_of(generative.ls_discriminator_loss, generative.ls_generator_loss),
    "gan_discriminator_parameters": count_affine,
    "gan_generator_parameters": count_affine,
    "dcgan_classifier_parameters": lambda layers: count(DCGAN_CLASSIFIER, (1, 28, 28)),
    "dcgan_generator_parameters": lambda layers: count(DCGAN_GENERATOR, (4,)),
    "diffusion_noising": diffusion_noising,
}

VIEWS = {"left": normal(4, 3), "right": normal(4, 3, seed=1)}
REAL, FAKE = {"real": 3 * normal(5, 1)}, {"fake": 3 * normal(7, 1)}
TARGET = np.random.default_rng(0).random((5, 1))


def keras_simclr(tau):
    def loss(left, right):
        unit = tf.math.l2_normalize(tf.concat([left, right], 0), axis=1)
        scores = unit @ tf.transpose(unit) / tau - 1e9 * np.eye(8)
        y = np.roll(np.arange(8), 4)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores))

    return loss


def keras_bce(x, target):
    loss = tf.nn.sigmoid_cross_entropy_with_logits(target * tf.ones_like(x), x)
    return tf.reduce_mean(loss)


def half_square(x, target):
    return keras.losses.MeanSquaredError()(target * tf.ones_like(x), x) / 2


GRADIENTS = {
    "simclr": simclr(1.0)(VIEWS, keras_simclr(1.0)),
    "simclr, cold": simclr(0.1)(VIEWS, keras_simclr(0.1)),
    "bce": adversarial(lambda x: generative.bce_loss(x, TARGET))(
        REAL, lambda x: keras_bce(x, TARGET)
    ),
    "discriminator": adversarial(generative.discriminator_loss)(
        REAL | FAKE, lambda real, fake: keras_bce(real, 1.0) + keras_bce(fake, 0.0)
    ),
    "generator": adversarial(generative.generator_loss)(FAKE, lambda x: keras_bce(x, 1.0)),
    "ls_discriminator": adversarial(generative.ls_discriminator_loss)(
        REAL | FAKE, lambda real, fake: half_square(real, 1.0) + half_square(fake, 0.0)
    ),
    "ls_generator": adversarial(generative.ls_generator_loss)(FAKE, lambda x: half_square(x, 1.0)),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures(name):
    classic_cases.check_fixture(FIXTURES, name)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    classic_cases.check_slopes(GRADIENTS[name])
    classic_cases.check_against_keras(GRADIENTS[name])
    classic_cases.check_types(GRADIENTS[name])
    classic_cases.check_integers(GRADIENTS[name])


@pytest.mark.parametrize("tau", [0.1, 1.0, 5.0])
def test_loops_and_arrays_give_one_loss(tau):
    loss, *_ = self_supervised.simclr_loss(*VIEWS.values(), tau)
    assert loss == pytest.approx(self_supervised.simclr_loss_naive(*VIEWS.values(), tau), rel=1e-12)


def test_vectors_of_zeros_have_no_direction():
    assert self_supervised.sim(np.zeros(3), np.ones(3)) == 0
    assert all(
        np.isfinite(found).all()
        for found in self_supervised.simclr_loss(np.zeros((2, 3)), np.eye(2, 3), 1.0)
    )


def test_logits_do_not_overflow():
    with np.errstate(over="raise", invalid="raise"):
        loss, gradient = generative.bce_loss(np.array([-1000.0, 1000.0]), np.array([1.0, 0.0]))
    assert loss == 1000
    np.testing.assert_array_equal(gradient, [-0.5, 0.5])


def test_noise_step_by_step():
    """A step has the mean sqrt(1 - beta) x and the variance beta: Ho et al. 2020, eq. 2."""
    betas = diffusion.sigmoid_schedule(50)
    scale, variance = 1.0, 0.0
    ones = np.ones((1, 1, 1, 1))
    for t, beta in enumerate(betas):
        scale, variance = math.sqrt(1 - beta) * scale, (1 - beta) * variance + beta
        t = np.array([t])
        np.testing.assert_allclose(diffusion.q_sample(ones, t, 0 * ones, betas), scale)
        np.testing.assert_allclose(diffusion.q_sample(0 * ones, t, ones, betas) ** 2, variance)
    single = diffusion.q_sample(ones.astype("float32"), t, ones.astype("float32"), betas)
    assert single.dtype == np.float32


WRONG = {
    "vectors": (
        lambda: self_supervised.cosine_similarity(normal(2, 3), normal(2, 4)),
        "x (2, 3), y (2, 4); expected x (M, D), y (N, D)",
    ),
    "views": (
        lambda: self_supervised.simclr_loss(normal(2, 3), normal(3, 3), 1.0),
        "out_left (2, 3), out_right (3, 3); expected out_left (N, D), out_right (N, D)",
    ),
    "temperature": (
        lambda: self_supervised.simclr_loss(normal(2, 3), normal(2, 3), 0.0),
        "tau is 0.0; it is a temperature above 0",
    ),
    "target": (
        lambda: generative.bce_loss(normal(2, 1), np.ones(2)),
        "shapes do not fit: logits (2, 1), target (2,); they are equal",
    ),
    "layer": (
        lambda: generative.parameter_shapes([("dense", 3)], (4,)),
        "layer is 'dense'; it is one of affine, conv, conv_transpose, max_pool, batchnorm, reshape",
    ),
    "step": (
        lambda: diffusion.q_sample(
            normal(1, 1, 2, 2), np.array([5]), normal(1, 1, 2, 2), diffusion.sigmoid_schedule(5)
        ),
        "t is [5]; it has step numbers from 0 to 4",
    ),
    "noise": (
        lambda: diffusion.q_sample(
            normal(1, 1, 2, 2), np.array([0]), normal(1, 1, 2, 3), np.ones(5)
        ),
        "x_start (1, 1, 2, 2), t (1,), noise (1, 1, 2, 3), betas (5,); expected",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
