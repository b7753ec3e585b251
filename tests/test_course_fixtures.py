"""The numbers that the course's assignments and notes print, by this package and by Keras.

tests/golden/course_fixtures says where each is from, how its inputs are made and how close is close
enough. By the functions of cvcourse.classic: test_classic_*.py.
"""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import course_fixtures as course
from keras import layers, ops

from cvcourse import models, optimization, sequence
from cvcourse.layers import BatchNormalization
from cvcourse.sequence import lstm, rnn
from cvcourse.sequence.inputs import embed

CLASSIC = {"diffusion_noising"}  # cvcourse.classic alone has it: test_classic_generative.py
BY_KERAS = ", by Keras"  # behind a fixture's name: the same by Keras' own layer
ROUNDS = {"sgd_momentum": 6e-8, "leaky_relu": 1e-7}  # Keras' 0.9 and 0.01 are those of float32
SAMPLE = 40  # elements of an input whose gradient is checked


pytestmark = pytest.mark.usefixtures("double_precision")


@functools.cache  # tf.function makes no variables
def built(kind, shape, **settings):
    made = kind(**settings)
    made.build(shape)
    return made


def layer(kind, x, *weights, call=None, **settings):
    """A layer of these settings with these weights, called on x and the arguments `call`."""
    kind = built(kind, tuple(x.shape), **settings)
    state = [v.value for v in kind.non_trainable_variables]
    weights = [ops.cast(w, "float64") for w in weights]
    return kind.stateless_call(weights, state, x, **(call or {}))[0]


def last(x):
    """(n, c, h, w) -> (n, h, w, c)."""
    return ops.transpose(x, (0, 2, 3, 1))


def first(x):
    """(n, h, w, c) -> (n, c, h, w)."""
    return ops.transpose(x, (0, 3, 1, 2))


# ---- layers ----


def affine_at_each(x, w, b):
    """Along the last axis: of a sequence, at each step."""
    return layer(layers.Dense, x, w, b, units=w.shape[1])


def affine(x, w, b):
    return affine_at_each(ops.reshape(x, (x.shape[0], -1)), w, b)


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
    mode = {"training": True}
    return layer(BatchNormalization, x, gamma, beta, call=mode, epsilon=epsilon)


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


def keras_attention(data, mask, other, heads, **weights):
    kind = layers.MultiHeadAttention(heads, data.shape[-1] // heads)
    kind.build(data.shape, data.shape)
    sequence.load_torch(kind, by_torch(weights))
    return {
        "self_attention": kind(data, data),
        "masked_self_attention": kind(data, data, attention_mask=mask[None]),
        "cross_attention": kind(data, other),
    }


def patch_kernel(weight, patch):
    """The assignment's patches are flattened (c, height, width): (to, from) -> a convolution's."""
    return weight.reshape(len(weight), -1, patch, patch).transpose(2, 3, 1, 0)


def patch_embedding(x, patch, **weights):
    kernel, bias = patch_kernel(weights["proj.weight"], patch), weights["proj.bias"]
    settings = dict(filters=len(bias), kernel_size=patch, strides=patch)
    y = layer(layers.Conv2D, last(x), kernel, bias, **settings)
    return {"out": ops.reshape(y, (len(x), -1, len(bias)))}


# ---- sequences ----


def word_table(vocabulary, dim):
    """The table that our nets begin with."""
    tokens = keras.Input((None,), dtype="int32")
    return keras.Model(tokens, embed(tokens, vocabulary, dim, name="tokens"))


def word_embedding(x, W):
    return layer(word_table, x, W, vocabulary=W.shape[0], dim=W.shape[1])


def over_time(cell):
    return lambda units, **settings: layers.RNN(cell(units), **settings)


CELLS = {
    "rnn": {"": sequence.RNNCell, BY_KERAS: layers.SimpleRNNCell},
    "lstm": {"": sequence.LSTMCell, BY_KERAS: layers.LSTMCell},
}
LAYERS = {
    "rnn": {"": over_time(sequence.RNNCell), BY_KERAS: layers.SimpleRNN},
    "lstm": {"": over_time(sequence.LSTMCell), BY_KERAS: layers.LSTM},
}


def each(name, kinds, function):
    """The fixture of this name by each kind of layer, which the function takes first."""
    return {f"{name}{whose}": functools.partial(function, kind) for whose, kind in kinds.items()}


def step(cell, x, weights, *states):
    """The states after one step."""
    call = dict(states=list(states))
    return layer(cell, x, *weights, call=call, units=states[0].shape[-1])[1]


def steps(kind, x, weights, *states):
    """What a layer that begins with these states says at each step."""
    call, units = dict(initial_state=list(states)), states[0].shape[-1]
    return layer(kind, x, *weights, call=call, units=units, return_sequences=True)


def rnn_step(cell, x, h, Wx, Wh, b):
    return step(cell, x, (Wx, Wh, b), h)[0]


def rnn_steps(kind, x, h0, Wx, Wh, b):
    return steps(kind, x, (Wx, Wh, b), h0)


def lstm_weights(*weights):
    """`lstm.from_course`, of tensors."""
    places = lstm.from_course(*(np.arange(w.shape[-1]) for w in weights))
    return [ops.take(w, order, axis=-1) for w, order in zip(weights, places, strict=True)]


def lstm_step(cell, x, prev_h, prev_c, Wx, Wh, b):
    h, c = step(cell, x, lstm_weights(Wx, Wh, b), prev_h, prev_c)
    return {"next_h": h, "next_c": c}


def lstm_step_weighted(cell, dnext_h, dnext_c, **given):
    found = lstm_step(cell, **given)
    return found["next_h"] * dnext_h + found["next_c"] * dnext_c


def lstm_steps(kind, x, h0, Wx, Wh, b):
    return steps(kind, x, lstm_weights(Wx, Wh, b), h0, ops.zeros_like(h0))


def sinusoidal_positions(data, base):
    return layer(sequence.SinusoidalPositions, data, length=data.shape[1], base=base)


def dropped(x, keep, dropout):
    """Dropout as this mask would have it."""
    return x * keep / (1 - dropout)


TORCH = {  # the assignment's names, and torch.nn's for them
    r"layer(\d)": r"layers.\1",
    r"self\.": "self_attn.",
    r"cross\.": "multihead_attn.",
    r"(query|key|value)\.": "in_proj_",
    r"proj\.": "out_proj.",
    r"fc(\d)": r"linear\1",
}


def by_torch(weights):
    """The assignment's attention or blocks by torch.nn's names; a block's norms do nothing yet."""
    found = {}
    for ours in sorted(weights, key=lambda name: "query." not in name):  # key and value follow
        name = ours
        for pattern, theirs in TORCH.items():
            name = re.sub(rf"\b{pattern}", theirs, name)
        found.setdefault(name, []).append(weights[ours])
    found = {name: np.concatenate(arrays) for name, arrays in found.items()}
    for name, array in list(found.items()):
        block, last, part = name.partition("linear2.")
        if last:
            count = 3 if f"{block}multihead_attn.in_proj_weight" in found else 2
            value = np.full(len(array), float(part == "weight"))
            found |= {f"{block}norm{i + 1}.{part}": value for i in range(count)}
    return found


def with_weights(net, blocks=None, **named):
    """The net with the assignment's blocks, and with arrays for the layers of these names."""
    for name, arrays in named.items():
        net.get_layer(name).set_weights(arrays)
    return sequence.load_torch(net, by_torch(blocks)) if blocks else net


def attention_net(weights, heads, **given):
    """Our multi_head_attention of these inputs: its outputs and weights."""
    net = sequence.build(
        "multi_head_attention",
        num_heads=heads,
        masks=("attention_mask",) if "attention_mask" in given else (),
        memory_shape=given["memory"].shape[1:] if "memory" in given else None,
        input_shape=given["inputs"].shape[1:],
    )
    return with_weights(net, weights)(given if len(given) > 1 else given["inputs"])


def looks(data, mask, other):
    """What a fixture of attention looks at."""
    return {
        "self_attention": {"inputs": data},
        "masked_self_attention": {"inputs": data, "attention_mask": mask[None]},
        "cross_attention": {"inputs": data, "memory": other},
    }


def attention(data, mask, other, heads, **weights):
    return {
        key: attention_net(weights, heads, **given)["outputs"]
        for key, given in looks(data, mask, other).items()
    }


def attention_training(data, mask, other, heads, dropout, **given):
    """What the matrix of our weights takes once dropout has been there."""
    keeps = [given.pop(f"keep_{which}") for which in ("self", "masked", "cross")]
    found = {}
    for (key, inputs), keep in zip(looks(data, mask, other).items(), keeps, strict=True):
        seen = inputs.get("memory", data)
        values = affine_at_each(seen, given["value.weight"].T, given["value.bias"])
        values = ops.reshape(values, (*seen.shape[:2], heads, -1))
        taken = dropped(attention_net(given, heads, **inputs)["weights"], keep, dropout)
        taken = ops.reshape(ops.einsum("bhnm,bmhc->bnhc", taken, values), data.shape)
        found[key] = affine_at_each(taken, given["proj.weight"].T, given["proj.bias"])
    return found


BLOCKS = dict(norm_first=False, activation="gelu", positions="sinusoidal")  # the assignment's


def transformer_layer(architecture, mask, heads, memory=None, **given):
    """Its input is called x or target."""
    (x,) = (given.pop(key) for key in ("x", "target") if key in given)
    net = sequence.build(
        architecture,
        hidden_dim=None,
        depth=1,
        num_heads=heads,
        mlp_dim=len(given["fc1.bias"]),
        **BLOCKS,
        causal=False,
        masks=("attention_mask",),
        memory_shape=None if memory is None else memory.shape[1:],
        input_shape=x.shape[1:],
        num_classes=None,
    )
    inputs = {"inputs": x, "attention_mask": mask[None]}
    inputs |= {} if memory is None else {"memory": memory}
    return with_weights(net, given)(inputs)


def dense(weights, name):
    """Takes a dense layer's arrays, as Keras has them, out of the weights; a bias may be 0."""
    kernel = weights.pop(f"{name}.weight").T
    return [kernel, weights.pop(f"{name}.bias", np.zeros(kernel.shape[-1]))]


def captioning_transformer(features, captions, heads, layers, base, **weights):
    named = {
        "memory_projection": dense(weights, "visual"),
        "tokens_embedding": [weights.pop("embedding")],
        "logits": dense(weights, "output"),
    }
    vocabulary, dim = named["tokens_embedding"][0].shape
    net = sequence.build(
        "caption_transformer",
        hidden_dim=dim,
        depth=layers,
        num_heads=heads,
        mlp_dim=len(weights["layer0.fc1.weight"]),
        **BLOCKS,
        memory_shape=features.shape[1:],
        num_classes=vocabulary,
    )
    return with_weights(net, weights, **named)({"memory": features, "tokens": captions})


def vision_transformer(images, heads, layers, patch, base, **weights):
    images = last(images)
    stem, head = (dense(weights, name) for name in ("patch", "head"))
    stem[0] = patch_kernel(stem[0].T, patch)
    net = sequence.build(
        "patch_classifier",
        patch=(patch, patch),
        hidden_dim=len(stem[1]),
        depth=layers,
        num_heads=heads,
        mlp_dim=len(weights["layer0.fc1.weight"]),
        **BLOCKS,
        input_shape=images.shape[1:],
        num_classes=len(head[1]),
    )
    return with_weights(net, weights, stem=stem, logits=head)(images)


# ---- losses ----


def cross_entropy(x, y):
    return optimization.LOSSES["softmax"]()(y, x)


def temporal_softmax(x, y, mask):
    """The sum over the steps that the mask keeps, in the mean of the examples."""
    found = optimization.LOSSES["softmax"](reduction=None)(y, x, sample_weight=mask)
    return ops.sum(found) / x.shape[0]


def captioning_loss(
    cell, captions, features, null, W_embed, W_proj, b_proj, W_vocab, b_vocab, **weights
):
    """Of what our net says before its logits, which are in float32."""
    net = sequence.build(
        f"caption_{cell}",
        units=len(b_proj),
        embedding=W_embed.shape[1],
        memory_shape=features.shape[1:],
        num_classes=len(W_embed),
    )
    with_weights(
        net,
        memory_projection=[W_proj, b_proj],
        tokens_embedding=[W_embed],
        layer1={"rnn": rnn, "lstm": lstm}[cell].from_course(**weights),
    )
    inner = keras.Model(net.input, net.get_layer("features").output)
    given, wanted = captions[:, :-1], captions[:, 1:]
    scores = affine_at_each(inner({"memory": features, "tokens": given}), W_vocab, b_vocab)
    return temporal_softmax(scores, wanted, wanted != null)


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
    return updated(optimization.CourseRMSprop(**settings), w, dw, {"cache": cache})


def adam(w, dw, m, v, learning_rate, beta1, beta2, epsilon, t):
    optimizer = optimization.CourseAdam(learning_rate, beta_1=beta1, beta_2=beta2, epsilon=epsilon)
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
    net = models.cost("alexnet_2012", input_shape=tuple(input))
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
    net = models.cost("vgg16")
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
    return {key.format(name): ops.convert_to_numpy(found[name]) for name in given}


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
    **each(
        "rnn_step",
        CELLS["rnn"],
        lambda cell, prev_h, **x: {"next_h": rnn_step(cell, h=prev_h, **x)},
    ),
    **each("rnn", LAYERS["rnn"], lambda kind, **x: {"h": rnn_steps(kind, **x)}),
    "word_embedding": out(word_embedding),
    **each("lstm_step", CELLS["lstm"], lstm_step),
    **each("lstm", LAYERS["lstm"], lambda kind, **x: {"h": lstm_steps(kind, **x)}),
    "temporal_softmax_one": loss(temporal_softmax),
    "temporal_softmax_ten": loss(temporal_softmax),
    "temporal_softmax_masked": loss(temporal_softmax),
    "captioning_rnn_loss": loss(functools.partial(captioning_loss, "rnn")),
    "captioning_lstm_loss": loss(functools.partial(captioning_loss, "lstm")),
    "attention": attention,
    f"attention{BY_KERAS}": keras_attention,
    "attention_training": attention_training,
    "positional_encoding": out(sinusoidal_positions),
    "positional_encoding_training": lambda data, base, keep, dropout: {
        "out": dropped(sinusoidal_positions(data, base), keep, dropout)
    },
    "transformer_decoder_layer": out(functools.partial(transformer_layer, "transformer_decoder")),
    "transformer_encoder_layer": out(functools.partial(transformer_layer, "transformer_encoder")),
    "captioning_transformer": lambda **x: {"scores": captioning_transformer(**x)},
    "vision_transformer": lambda **x: {"scores": vision_transformer(**x)},
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
    **each("grad_rnn_step", CELLS["rnn"], rnn_step),
    **each("grad_rnn", LAYERS["rnn"], rnn_steps),
    **each("grad_lstm_step", CELLS["lstm"], lstm_step_weighted),
    **each("grad_lstm", LAYERS["lstm"], lstm_steps),
    "grad_word_embedding": word_embedding,
    "grad_temporal_affine": affine_at_each,
    "grad_temporal_softmax": temporal_softmax,
}


def fixture(name):
    return name.removesuffix(BY_KERAS)


def test_every_fixture_has_its_place():
    assert set(course.ids()) == CLASSIC | set(map(fixture, [*CASES, *GRADIENTS]))
    assert set(course.ids("gradient")) == set(map(fixture, GRADIENTS))


def rebuilt(name):
    """The case of a name, its inputs in float64."""
    (case,) = (case for case in course.cases() if case.id == fixture(name))
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
