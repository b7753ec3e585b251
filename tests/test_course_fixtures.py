"""The numbers that the course's assignments and notes print, by this package and by Keras.

tests/golden/course_fixtures says where each is from, how its inputs are made and how close is close
enough. Sequences (issue 8's) and what neither Keras nor this package has wait in LATER.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import course_fixtures as course
from keras import layers, ops

from cvcourse import models, optimization
from cvcourse.layers import BatchNormalization

LATER = {  # sequences, or nothing here makes them
    *("rnn_step", "rnn", "word_embedding", "lstm_step", "lstm"),
    *("temporal_softmax_one", "temporal_softmax_ten", "temporal_softmax_masked"),
    *("captioning_rnn_loss", "captioning_lstm_loss", "captioning_transformer"),
    *("attention_training", "positional_encoding", "positional_encoding_training"),
    *("transformer_decoder_layer", "transformer_encoder_layer", "vision_transformer"),
    *("grad_rnn_step", "grad_rnn", "grad_lstm_step", "grad_lstm"),
    *("grad_word_embedding", "grad_temporal_affine", "grad_temporal_softmax"),
    "diffusion_noising",
}
ROUNDS = {"sgd_momentum": 6e-8, "leaky_relu": 1e-7}  # Keras' 0.9 and 0.01 are those of float32
SAMPLE = 40  # elements of an input whose gradient is checked


@pytest.fixture(autouse=True)
def double_precision():
    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if dtype == "float64":
            yield


@functools.cache  # tf.function makes no variables
def built(kind, shape, **settings):
    made = kind(**settings)
    made.build(shape)
    return made


def layer(kind, x, *weights, training=None, **settings):
    """A layer of these settings with these weights, called on x."""
    mode = {} if training is None else {"training": training}
    kind = built(kind, tuple(x.shape), **settings)
    state = [v.value for v in kind.non_trainable_variables]
    weights = [ops.cast(w, "float64") for w in weights]
    return kind.stateless_call(weights, state, x, **mode)[0]


def last(x):
    """(n, c, h, w) -> (n, h, w, c)."""
    return ops.transpose(x, (0, 2, 3, 1))


def first(x):
    """(n, h, w, c) -> (n, c, h, w)."""
    return ops.transpose(x, (0, 3, 1, 2))


# ---- layers ----


def affine(x, w, b):
    return layer(layers.Dense, ops.reshape(x, (x.shape[0], -1)), w, b, units=w.shape[1])


def affine_relu(x, w, b):
    return ops.relu(affine(x, w, b))


def conv(x, w, b, stride, pad):
    x = layer(layers.ZeroPadding2D, last(x), padding=pad)
    settings = dict(filters=w.shape[0], kernel_size=tuple(w.shape[2:]), strides=stride)
    return first(layer(layers.Conv2D, x, ops.transpose(w, (2, 3, 1, 0)), b, **settings))


def conv_relu(x, w, b, stride, pad):
    return ops.relu(conv(x, w, b, stride, pad))


def max_pool(x, pool_height, pool_width, stride):
    size = (pool_height, pool_width)
    return first(layer(layers.MaxPooling2D, last(x), pool_size=size, strides=stride))


def conv_relu_pool(x, w, b, stride, pad, pool):
    return max_pool(conv_relu(x, w, b, stride, pad), pool, pool, pool)


def batchnorm(x, gamma, beta, epsilon, momentum=0.9):
    return layer(BatchNormalization, x, gamma, beta, training=True, epsilon=epsilon)


def spatial_batchnorm(x, gamma, beta, epsilon, momentum=0.9):
    return first(batchnorm(last(x), gamma, beta, epsilon))


def layernorm(x, gamma, beta, epsilon):
    return layer(layers.LayerNormalization, x, gamma, beta, epsilon=epsilon)


def group_norm(x, gamma, beta, groups, epsilon):
    weights = (ops.reshape(w, (-1,)) for w in (gamma, beta))
    settings = dict(groups=groups, epsilon=epsilon)
    return first(layer(layers.GroupNormalization, last(x), *weights, **settings))


def moments(axes, norm, of=lambda y: y):
    def statistics(**given):
        y = of(norm(**given))
        return {"mean": ops.mean(y, axes), "std": ops.std(y, axes)}

    return statistics


def batchnorm_test(batches, gamma, beta, epsilon, momentum, to_last=lambda x: x):
    batches = [to_last(batch) for batch in batches]
    kind = BatchNormalization(momentum=momentum, epsilon=epsilon)
    kind.build(batches[0].shape)
    kind.set_weights([gamma, beta, 0 * gamma, 0 * gamma])
    for batch in batches[:50]:
        kind(batch, training=True)
    y = kind(batches[50])
    axes = tuple(range(len(y.shape) - 1))
    return {"mean": ops.mean(y, axes), "std": ops.std(y, axes)}


def dropout(x, keep):
    kind = layers.Dropout(1 - keep, seed=0)
    found = {"train": kind(x, training=True), "test": kind(x)}
    means = {f"{mode}_mean": ops.mean(y) for mode, y in found.items()}
    return means | {f"{mode}_zeros": np.mean(np.array(y) == 0) for mode, y in found.items()}


def attention(data, mask, other, heads, **weights):
    """The weights are (to, from), Keras' (from, heads, per head), and out of them the other way."""
    size, kind = data.shape[-1], layers.MultiHeadAttention(heads, data.shape[-1] // heads)
    kind.build(data.shape, data.shape)
    split = (heads, size // heads)
    kind.set_weights(
        [
            weights[f"{name}.{part}"].T.reshape(shape)
            for name, shape in (("query", split), ("key", split), ("value", split), ("proj", ()))
            for part, shape in (
                ("weight", (*split, size) if name == "proj" else (size, *split)),
                ("bias", shape or (size,)),
            )
        ]
    )
    return {
        "self_attention": kind(data, data),
        "masked_self_attention": kind(data, data, attention_mask=mask[None]),
        "cross_attention": kind(data, other),
    }


def patch_embedding(x, patch, **weights):
    kernel, bias = weights["proj.weight"], weights["proj.bias"]
    kernel = kernel.reshape(-1, x.shape[1], patch, patch).transpose(2, 3, 1, 0)
    settings = dict(filters=len(bias), kernel_size=patch, strides=patch)
    y = layer(layers.Conv2D, last(x), kernel, bias, **settings)
    return {"out": ops.reshape(y, (len(x), -1, len(bias)))}


# ---- losses ----


def cross_entropy(x, y):
    return optimization.LOSSES["softmax"]()(y, x)


def hinge(x, y, margin=1.0):
    scores = ops.reshape(x, (-1, x.shape[-1]))
    return optimization.MulticlassSVM(margin)(np.reshape(y, (-1,)), scores)


def squares(*weights):
    return sum(ops.sum(ops.square(w)) for w in weights)


def two_layer(X, W1, b1, W2, b2):
    return affine(affine_relu(X, W1, b1), W2, b2)


def two_layer_loss(X, W1, b1, W2, b2, y, reg):
    return cross_entropy(two_layer(X, W1, b1, W2, b2), y) + reg / 2 * squares(W1, W2)


def three_layer_loss(X, y, W1, W2, W3, b1, b2, b3, reg):
    x = affine_relu(affine_relu(X, W1, b1), W2, b2)
    return cross_entropy(affine(x, W3, b3), y) + reg / 2 * squares(W1, W2, W3)


def toy_net_loss(X, W1, b1, W2, b2, y, reg):
    return {"loss": two_layer_loss(X, W1, b1, W2, b2, y, 2 * reg)}  # without the half


def toy_net_training(X, W1, b1, W2, b2, y, learning_rate, decay, reg, steps, batch_size):
    settings = dict(kernel_regularizer=keras.regularizers.L2(reg))
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(10, "relu", **settings), layers.Dense(3, **settings)]
    )
    model.set_weights([W1, b1, W2, b2])
    rate = keras.optimizers.schedules.ExponentialDecay(learning_rate, 1, decay)
    model.compile(optimization.OPTIMIZERS["sgd"](rate), optimization.LOSSES["softmax"]())
    drawn = np.random.default_rng(0).integers(0, len(y), steps * batch_size)
    model.fit(X[drawn], y[drawn], batch_size=batch_size, shuffle=False, verbose=0)
    return {"loss": model.evaluate(X, y, verbose=0)}


def conv_net_loss(X, y, W1, W2, W3, stride, pad, pool, reg):
    x = conv_relu_pool(X, W1, np.zeros(len(W1)), stride, pad, pool)
    x = affine_relu(x, W2, np.zeros(W2.shape[1]))
    loss = cross_entropy(affine(x, W3, np.zeros(W3.shape[1])), y)
    return {"loss": loss, "loss_reg": loss + reg[1] / 2 * squares(W1, W2, W3)}


def notes_svm_softmax(W, x, b, y, margin):
    scores = affine(x[None], W.T, b)
    return {
        "scores": scores[0],
        "hinge": hinge(scores, y, margin),
        "probabilities": ops.softmax(scores)[0],
        "cross_entropy": cross_entropy(scores, y[None]),
    }


def notes_chance_loss(scores, margin):
    scores, y = scores[None], np.array([0])
    return {"cross_entropy": cross_entropy(scores, y), "hinge": hinge(scores, y, margin)}


def similarity(x, y):
    return layers.Dot(-1, normalize=True)([x[None], y[None]])[0]


def simclr_similarity(left, right):
    both = np.concatenate([left, right])
    pairs = layers.Dot(-1, normalize=True)([left, right])
    return {"pairs": pairs, "matrix": similarity(both, both)}


def simclr_loss(left, right, temperature):
    both, n = np.concatenate([left, right]), len(left)
    scores = similarity(both, both) / temperature - 1e9 * np.eye(2 * n)  # none is its own negative
    return {"loss": cross_entropy(scores, np.roll(np.arange(2 * n), n))}


def adversarial(loss, logits_real, logits_fake):
    ones, zeros = np.ones_like(logits_real), np.zeros_like(logits_real)
    discriminator = loss(ones, logits_real) + loss(zeros, logits_fake)
    return {"discriminator": discriminator, "generator": loss(ones, logits_fake)}


# ---- updates ----


def updated(optimizer, w, dw, moments, t=0):
    """The weights and moments after a step from these."""
    variable = keras.Variable(w)
    optimizer.build([variable])
    optimizer.iterations.assign(t)
    kept = optimizer.variables[2:]  # behind iterations and learning rate
    for moment, value in zip(kept, moments.values(), strict=True):
        moment.assign(value)
    optimizer.apply([ops.convert_to_tensor(dw)], [variable])
    return {"next_w": variable} | dict(zip(moments, kept, strict=True))


def sgd_momentum(w, dw, velocity, learning_rate, momentum):
    optimizer = optimization.OPTIMIZERS["momentum"](learning_rate, momentum=momentum)
    return updated(optimizer, w, dw, {"velocity": velocity})


def rmsprop(w, dw, cache, **settings):
    return updated(optimization.RMSprop(**settings), w, dw, {"cache": cache})


def adam(w, dw, m, v, learning_rate, beta1, beta2, epsilon, t):
    optimizer = optimization.Adam(learning_rate, beta_1=beta1, beta_2=beta2, epsilon=epsilon)
    return updated(optimizer, w, dw, {"m": m, "v": v}, t)


# ---- counts ----


def dense_parameters(layers):
    """Of our multilayer perceptron."""
    net = models.build(
        "mlp", input_shape=(1, 1, layers[0]), hidden=tuple(layers[1:-1]), num_classes=layers[-1]
    )
    return {"parameters": net.count_params()}


def parameters(*stack):
    model = keras.Sequential(stack)
    return {"parameters": sum(np.prod(v.shape) for v in model.trainable_variables)}


def dcgan_classifier():
    return parameters(
        *(keras.Input((28, 28, 1)), layers.Conv2D(32, 5), layers.MaxPooling2D()),
        *(layers.Conv2D(64, 5), layers.MaxPooling2D(), layers.Flatten()),
        *(layers.Dense(1024), layers.Dense(1)),
    )


def dcgan_generator():
    norm = BatchNormalization
    return parameters(
        *(keras.Input((4,)), layers.Dense(1024), norm(), layers.Dense(6272), norm()),
        *(layers.Reshape((7, 7, 128)), layers.Conv2DTranspose(64, 4, 2, padding="same"), norm()),
        layers.Conv2DTranspose(1, 4, 2, padding="same"),
    )


def conv_alexnet(input, filters, kernel, stride, pad):
    """The first layer of our AlexNet in two towers, which both have in common."""
    net = models.summary("alexnet_2012", input_shape=tuple(input))
    (row,) = (row for row in net if row.name == "conv1_conv")
    places = row.output_shape[0] * row.output_shape[1]
    return {
        "output": row.output_shape,
        "neurons": row.activations,
        "weights": row.macs // places,
        "parameters": row.trainable,
        "im2col": [row.macs // places // filters, places],
    }


def vgg16_weights(**_):
    net = models.summary("vgg16")
    return {"weights": [row.trainable - row.output_shape[-1] for row in net if row.trainable]}


# ---- gradients ----


def circuit(x, y, z):
    return (x + y) * z


def slopes(function, given, key="{}"):
    """The gradients of a function of tensors for each of these, by automatic differentiation."""
    given = {name: tf.constant(value, "float64") for name, value in given.items()}
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = function(**given)
    found = tape.gradient(value, given)
    return {key.format(name): found[name].numpy() for name in given}


def out(function):
    return lambda **given: {"out": function(**given)}


def loss(function):
    return lambda **given: {"loss": function(**given)}


IMAGES = (0, 2, 3)
CASES = {
    "affine_forward": out(affine),
    "relu_forward": out(lambda x: layer(layers.ReLU, x)),
    "svm_loss_init": loss(hinge),
    "softmax_loss_init": loss(cross_entropy),
    "two_layer_scores": lambda **given: {"scores": two_layer(**given)},
    "two_layer_loss": loss(two_layer_loss),
    "two_layer_loss_reg": loss(two_layer_loss),
    "toy_net_scores": lambda **given: {"scores": two_layer(**given)},
    "toy_net_loss": toy_net_loss,
    "toy_net_training": toy_net_training,
    "sgd_momentum": sgd_momentum,
    "rmsprop": rmsprop,
    "adam": adam,
    "conv_forward": out(conv),
    "max_pool_forward": out(max_pool),
    "conv_net_loss_init": conv_net_loss,
    "batchnorm_train": moments(0, batchnorm),
    "batchnorm_train_scaled": moments(0, batchnorm),
    "batchnorm_test": batchnorm_test,
    "layernorm": moments(1, layernorm),
    "layernorm_scaled": moments(1, layernorm),
    "spatial_batchnorm_train": moments(IMAGES, spatial_batchnorm),
    "spatial_batchnorm_train_scaled": moments(IMAGES, spatial_batchnorm),
    "spatial_batchnorm_test": lambda **given: batchnorm_test(**given, to_last=last),
    "group_norm": moments(1, group_norm, of=lambda y: ops.reshape(y, (4, -1))),
    "dropout_0_25": dropout,
    "dropout_0_4": dropout,
    "dropout_0_7": dropout,
    "attention": attention,
    "patch_embedding": patch_embedding,
    "cosine_similarity": lambda text, image: {"out": similarity(text, image)},
    "simclr_similarity": simclr_similarity,
    "simclr_loss_1": simclr_loss,
    "simclr_loss_5": simclr_loss,
    "leaky_relu": lambda x, slope: {"y": layer(layers.LeakyReLU, x, negative_slope=slope)},
    "gan_losses": lambda **x: adversarial(keras.losses.BinaryCrossentropy(from_logits=True), **x),
    "lsgan_losses": lambda **x: adversarial(
        lambda y, p: keras.losses.MeanSquaredError()(y, p) / 2, **x
    ),
    "gan_discriminator_parameters": dense_parameters,
    "gan_generator_parameters": dense_parameters,
    "dcgan_classifier_parameters": lambda layers: dcgan_classifier(),
    "dcgan_generator_parameters": lambda layers: dcgan_generator(),
    "notes_hinge_margin": lambda scores, y, margin: {"loss": hinge(scores, y, margin)},
    "notes_svm_softmax": notes_svm_softmax,
    "notes_chance_loss": notes_chance_loss,
    "notes_circuit": lambda **xyz: {"f": circuit(**xyz), **slopes(circuit, xyz, "d{}")},
    "notes_conv_alexnet": conv_alexnet,
    "notes_vgg16_weights": vgg16_weights,
}
GRADIENTS = {  # of the sum of these, weighted by dout where there is one
    "grad_affine": affine,
    "grad_relu": lambda x: layer(layers.ReLU, x),
    "grad_affine_relu": affine_relu,
    "grad_svm_loss": hinge,
    "grad_softmax_loss": cross_entropy,
    "grad_two_layer": two_layer_loss,
    "grad_three_layer": three_layer_loss,
    "grad_conv": conv,
    "grad_max_pool": max_pool,
    "grad_conv_relu_pool": conv_relu_pool,
    "grad_conv_relu": conv_relu,
    "grad_batchnorm": batchnorm,
    "grad_layernorm": layernorm,
    "grad_spatial_batchnorm": spatial_batchnorm,
    "grad_group_norm": group_norm,
}


def test_every_fixture_has_its_place():
    assert set(course.ids()) == LATER | set(CASES) | set(GRADIENTS)
    assert set(course.ids("gradient")) - LATER == set(GRADIENTS)


def rebuilt(name):
    """The case of a name, its inputs in float64."""
    (case,) = (case for case in course.cases() if case.id == name)
    inputs = {
        key: array.astype("float64") if array.dtype == "float32" else array
        for key, array in case.inputs.items()
    }
    return case._replace(inputs=inputs)


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    case = rebuilt(name)
    found = CASES[name](**case.inputs, **case.hyperparameters)
    assert set(found) == set(case.expected)
    for key, expected in case.expected.items():
        value = ops.convert_to_numpy(found[key])
        assert course.error(value, expected, case.measure) <= ROUNDS.get(name, case.tolerance), key


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    """The analytic ones against central differences, at up to SAMPLE elements of each input."""
    case, rng = rebuilt(name), np.random.default_rng(0)
    given, settings = case.inputs, case.hyperparameters
    step, dout = settings.pop("step"), given.pop("dout", 1.0)
    for bias in set(case.expected) - set(given):  # those of three_layer_loss start at 0
        given[bias] = np.zeros(given[bias.replace("b", "W")].shape[1])
    wanted = {key: given.pop(key) for key in case.expected}
    for reg in settings.pop("reg", [None]):
        rest = {**given, **settings} | ({} if reg is None else {"reg": reg})

        def function(**wanted):
            return GRADIENTS[name](**wanted, **rest)  # noqa: B023

        analytic = slopes(lambda **w: ops.sum(function(**w) * dout), wanted)
        fast = tf.function(function)
        for key, array in wanted.items():
            some = rng.permutation(array.size)[:SAMPLE]
            numeric = []
            for i in some:
                shift = step * (np.arange(array.size) == i).reshape(array.shape)
                up, down = (
                    fast(**{k: tf.constant(v) for k, v in {**wanted, key: moved}.items()})
                    for moved in (array + shift, array - shift)
                )
                numeric.append(np.sum((up - down).numpy() * dout) / (2 * step))
            error = course.error(analytic[key].ravel()[some], numeric, "relative")
            assert error <= case.expected[key], (key, reg)
