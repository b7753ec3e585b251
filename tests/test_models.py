"""Facts about every network of the registry, as tables."""

import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import ADAM, COURSE_MAP, LONG, PARAMETERS, SMALL, quiet, small

from cvcourse import models, training
from cvcourse.models import registry


@pytest.fixture(scope="module")
def shared():
    """`small`, built once for the tests of this file that compare a net with itself."""
    return functools.cache(small)


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_table_is_the_registry():
    assert list(PARAMETERS) == list(models.REGISTRY)
    assert len(PARAMETERS) == sum(len(family.VARIANTS) for family in registry.FAMILIES)
    assert {models.family(name) for name in SMALL} == {models.family(name) for name in PARAMETERS}


DEEPEST = ("resnet1202", "preact_resnet1001")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in DEEPEST else ()) for n in PARAMETERS],
)
def test_parameters(name):
    """Of the table, and as the README's course map shows them, with the multiply-accumulates."""
    cost = models.cost(name)
    assert cost.trainable == PARAMETERS[name][0]
    size = {"k": 1e3, "M": 1e6, "G": 1e9}
    for row, parameters, macs, _ in COURSE_MAP:
        if row == name:
            assert f"{cost.trainable:,}" == parameters
            assert f"{cost.macs / size[macs[-1]]:.3g} {macs[-1]}" == macs


@pytest.mark.slow
def test_a_net_of_more_than_a_thousand_layers(tmp_path):
    model = models.build("resnet1202")
    assert trainable(model) == PARAMETERS["resnet1202"][0]
    model.save(tmp_path / "model.keras")
    assert trainable(keras.models.load_model(tmp_path / "model.keras")) == trainable(model)


def the_output(model):
    return model.output["logits"] if isinstance(model.output, dict) else model.output


@pytest.mark.parametrize("name", SMALL)
def test_taps_and_logits(name, shared):
    model = shared(name)
    assert model.name == name
    logits = the_output(model)._keras_history.operation
    assert (logits.name, logits.compute_dtype) == ("logits", "float32")
    names = [layer.name for layer in model.layers]
    assert "features" in names
    if name not in ("linear", "mlp", "lenet5", "lenet5_1998"):
        assert {"stem", "conv1", "stage1"} & {*names}, names


@pytest.mark.parametrize(
    ("name", "settings", "parameters"),
    [
        ("resnet20", {"shortcut": "B"}, 272_474),  # two 1x1 projections with batch norm
        ("resnet20", {"input_shape": (28, 28, 1)}, 269_434),  # 288 fewer in the stem
        ("resnet20", {"num_classes": 100}, 275_572),  # 65 more a class
        ("lenet5", {"input_shape": (32, 32, 3), "num_classes": 7}, 61_751),
        ("mlp", {"hidden": (100,)}, 308_310),  # 3072 * 100 + 100 + 1010
    ],
)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_builder_arguments(name, settings, parameters, dropout):
    assert trainable(models.build(name, dropout=dropout, **settings)) == parameters


@pytest.mark.parametrize("blocks", [1, 3])
def test_stages_halve_the_map_and_double_the_width(blocks):
    model = models.build("resnet20", depth=6 * blocks + 2)
    shapes = [model.get_layer(f"stage{i}").output.shape[1:] for i in (1, 2, 3)]
    assert shapes == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]
    assert model.get_layer("stem").output.shape[1:] == (32, 32, 16)
    assert model.get_layer("features").output.shape[1:] == (8, 8, 64)


def test_option_a_is_every_second_pixel_and_zeros():
    model = models.build("resnet20", depth=8)
    sums = keras.Model(
        model.input, [model.get_layer("stage1").output, model.get_layer("stage2_block1_add").output]
    )
    for layer in model.layers:  # silence the block's own path
        if layer.name == "stage2_block1_2_bn":
            layer.set_weights([np.zeros(32), np.zeros(32), np.zeros(32), np.ones(32)])
    before, after = map(np.array, sums(images(2, 32, 32, 3)))
    expected = np.zeros((2, 16, 16, 32), "float32")
    expected[..., 8:24] = before[:, ::2, ::2]
    np.testing.assert_array_equal(after, expected)


def test_survival_falls_linearly_to_the_last_block():
    model = models.build("resnet110_stochastic_depth", depth=20)
    paths = [layer for layer in model.layers if layer.name.endswith("drop_path")]
    np.testing.assert_allclose([path.rate for path in paths], 0.5 * np.arange(1, 10) / 9)
    assert {(path.per, path.scale_at) for path in paths} == {("batch", "test")}
    net = models.build("efficientnet_b0", input_shape=(32, 32, 3))
    paths = [layer for layer in net.layers if layer.name.endswith("drop_path")]
    of_16 = np.array([2, 4, 6, 7, 9, 10, 12, 13, 14])  # blocks that have a way around, from 0
    np.testing.assert_allclose([path.rate for path in paths], 0.2 * of_16 / 16)
    assert {(path.per, path.scale_at) for path in paths} == {("image", "train")}


def test_stochastic_depth_is_equation_5_in_inference():
    """ReLU(p_l f(x) + x): a plain net whose last norms of a block are scaled by p_l."""
    model = models.build("resnet110_stochastic_depth", depth=20)
    plain, x = models.build("resnet20"), images(2, 32, 32, 3)
    plain.set_weights(model.get_weights())
    for block in range(1, 10):
        stage, i = (block + 2) // 3, (block - 1) % 3 + 1
        norm = plain.get_layer(f"stage{stage}_block{i}_2_bn")
        norm.gamma.assign(norm.gamma * (1 - 0.5 * block / 9))
        norm.beta.assign(norm.beta * (1 - 0.5 * block / 9))
    np.testing.assert_allclose(plain(x), model(x), atol=1e-5)


def test_global_drop_path_is_one_column_of_the_whole_net():
    keras.utils.set_random_seed(0)
    small = dict(filters=(4, 6), dropout=0.0, global_share=1.0)
    model, x = models.build("fractalnet20", **small), images(4, 32, 32, 3)
    alone = []
    for column in (1, 2, 3):
        net = models.build("fractalnet20", column=column, **small)
        for layer in net.layers:
            layer.set_weights(model.get_layer(layer.name).get_weights())
        alone.append(np.array(net(x, training=True)))
    errors = np.array(
        [
            [np.abs(y - logits).max() for logits in alone]
            for y in (np.array(model(x, training=True)) for _ in range(24))
        ]
    )
    assert errors.min(1).max() < 1e-5
    assert set(errors.argmin(1)) == {0, 1, 2}


@pytest.mark.parametrize(("padding", "rows"), [("symmetric", [9, 10, 11]), ("same", [10, 11, 12])])
def test_strided_blocks_of_cifar_resnets_look_where_published_weights_do(padding, rows):
    """Rows of the map that row 5 of the halved one sees; the shortcut takes row 10."""
    net = models.build("resnet20", depth=8, padding=padding)
    names = ("stage2_block1_1_conv", "stage2_block1_shortcut_subsample")
    part = keras.Model(
        net.get_layer("stage1").output, [net.get_layer(name).output for name in names]
    )
    images = np.eye(32)[:, :, None, None] * np.ones((32, 32, 32, 16))  # image i: 1 in row i
    seen = [np.flatnonzero(abs(np.array(y)[:, 5]).max((1, 2)) > 1e-6) for y in part(images)]
    assert [list(found) for found in seen] == [rows, [10]]


def test_lenet_is_its_figure_in_numpy():
    """C1 S2 C3 S4 C5 F6 and the output, with loops: the same logits."""
    model, x = models.build("lenet5"), images(1, 32, 32, 1)
    c1, c1_bias, c3, c3_bias, *dense = model.get_weights()

    def convolve(x, kernel, bias):
        side = x.shape[0] - 4
        out = [
            [np.tensordot(x[i : i + 5, j : j + 5], kernel, 3) for j in range(side)]
            for i in range(side)
        ]
        return np.tanh(np.array(out) + bias)

    def subsample(x):
        side, channels = x.shape[0] // 2, x.shape[-1]
        return x.reshape(side, 2, side, 2, channels).mean((1, 3))

    y = subsample(convolve(subsample(convolve(x[0], c1, c1_bias)), c3, c3_bias)).reshape(-1)
    for kernel, bias in zip(dense[:4:2], dense[1:4:2], strict=True):
        y = np.tanh(y @ kernel + bias)
    np.testing.assert_allclose(np.array(model(x))[0], y @ dense[4] + dense[5], atol=1e-5)


def long_ones_slow(names):
    return [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in names]


def memorizes(model, optimizer, count, steps):
    """Whether the loss of a batch falls to a quarter in `steps` steps that move every weight."""
    x, y = images(count, *model.input_shape[1:]), np.arange(count) % 10
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    optimizer.build(model.trainable_variables)  # or else the step is traced twice
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    losses = []
    while len(losses) < 3 or (len(losses) < steps and max(losses[-3:]) > losses[0] / 4):
        losses += model.fit(data, steps_per_epoch=1, shuffle=False, verbose=0).history["loss"]
    assert max(losses[-3:]) < losses[0] / 4
    after = model.trainable_weights
    assert [w.path for w, b in zip(after, before, strict=True) if np.array_equal(w, b)] == []


@pytest.mark.parametrize("name", long_ones_slow(SMALL))
def test_memorizes_a_batch_with_no_idle_weight(name):
    keras.utils.set_random_seed(0)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    memorizes(small(name), keras.optimizers.Adam(0.003) if name in ADAM else sgd, 16, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", {models.family(n): n for n in reversed(SMALL)}.values())
def test_memorizes_a_batch_at_its_usual_size(name):
    keras.utils.set_random_seed(0)
    net = models.build(name, num_classes=10, **quiet(name))
    sgd = keras.optimizers.SGD(0.02, momentum=0.9)
    memorizes(net, keras.optimizers.Adam(3e-4) if name in (*ADAM, "vit_b_16") else sgd, 6, 150)


@pytest.mark.parametrize("name", long_ones_slow(SMALL))
def test_saves_loads_and_takes_raw_images(name, shared, tmp_path):
    model, rng = shared(name), np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.02, w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    x = images(2, *SMALL[name]["input_shape"])
    logits = np.array(model(x))
    assert np.ptp(logits) > 0
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), logits)
    shape = x.shape[1:]
    raw = models.with_preprocessing(
        model, shape, mean=[0.0] * shape[-1], variance=[1.0] * shape[-1]
    )
    np.testing.assert_allclose(raw(x), logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize(
    "precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", long_ones_slow(SMALL))
def test_trains_under_mixed_precision(name, precision):
    with training.precision(precision):
        model = small(name)
    x, y = images(4, *SMALL[name]["input_shape"]), np.arange(4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    first = model.trainable_variables[0]
    before, steps = np.array(first), 0
    while np.array_equal(before, np.array(first)):
        assert np.isfinite(model.train_on_batch(x, y))
        steps += 1
        assert steps < 10  # in float16 some, until the loss' scale has come down
    assert model(x).dtype == "float32"


# Dense layers on a flattened map, or positions, fix the size of these.
FIXED_SIZE = ("linear", "mlp", "lenet5", "lenet5_1998", "vit_b_16")


@pytest.mark.parametrize("name", long_ones_slow(n for n in SMALL if n not in FIXED_SIZE))
def test_takes_images_of_any_size(name, shared):
    fixed = shared(name)
    height, width, channels = SMALL[name]["input_shape"]
    free = small(name, input_shape=(None, None, channels))
    free.set_weights(fixed.get_weights())
    x = images(2, height, width, channels)
    logits = np.array(fixed(x))
    np.testing.assert_allclose(free(x), logits, atol=1e-4 * np.abs(logits).max())
    assert free(images(1, height + 5, width + 16, channels)).shape == (1, logits.shape[1])


@pytest.mark.parametrize("name", SMALL)
def test_builds_at_its_minimum_and_says_it(name):
    minimum = registry.minimum_size(name)
    settings = {key: value for key, value in SMALL[name].items() if key != "input_shape"}
    channels = SMALL[name]["input_shape"][-1]
    if name != "vit_b_16":  # below
        cost = models.cost(name, input_shape=(minimum, minimum, channels), **settings)
        assert cost[-1].output_shape == (models.builder_args(name)["num_classes"],)
    if minimum > 1:
        with pytest.raises(ValueError, match=f"{minimum}x{minimum} pixels or more"):
            models.build(name, input_shape=(minimum - 1, minimum, channels), **settings)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet200", {}, "unknown model 'resnet200': did you mean 'resnet20'?"),
        ("lenet", {}, "did you mean 'lenet5'?"),
        ("resnet20", {"depths": 3}, "resnet20: unknown argument 'depths': did you mean 'depth'?"),
        ("resnet20", {"depth": 21}, "6n + 2 layers: 8, 14, 20, …; received depth=21"),
        ("resnet20", {"shortcut": "C"}, "received 'C'"),
        ("lenet5", {"input_shape": (28, 28, 1)}, "lenet5 takes images of 32x32 pixels or more"),
        ("lenet5", {"input_shape": (32, 32)}, "input_shape is (height, width, channels)"),
        *(
            (name, {"input_shape": (None, 64, 3)}, "one size: a height and a width are needed")
            for name in ("linear", "mlp", "lenet5", "lenet5_1998")
        ),
        *(
            ("resnet20", {"input_shape": (32, 32, channels)}, "whole numbers of 1 or more, or None")
            for channels in (None, 0, -1, 3.0)
        ),
    ],
)
def test_wrong_names_and_values(name, settings, message):
    with pytest.raises(ValueError) as error:
        models.build(name, **settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "image_shape", "expected"),
    [
        ("lenet5", (8, 8, 1), (32, 32, 1)),  # too small: the usual size
        ("lenet5", (28, 28, 3), (32, 32, 3)),
        ("lenet5", (40, 36, 1), (40, 36, 1)),
        ("resnet20", (28, 28, 1), (28, 28, 1)),
        ("linear", (8, 8, 1), (8, 8, 1)),
    ],
)
def test_input_shape_for(name, image_shape, expected):
    assert models.input_shape_for(name, image_shape) == expected


@pytest.mark.parametrize(
    ("image_shape", "net_shape"),
    [
        ((8, 8, 1), (8, 8, 1)),
        ((8, 8, 1), (16, 12, 1)),
        ((8, 8, 1), (8, 8, 3)),
        ((9, 8, 3), (16, 16, 1)),
    ],
)
def test_raw_images_are_normalized_resized_and_recolored(image_shape, net_shape, tmp_path):
    net = models.build("linear", input_shape=net_shape)
    channels = image_shape[-1]
    mean, variance = [100.0, 50.0, 20.0][:channels], [400.0, 100.0, 25.0][:channels]
    model = models.with_preprocessing(net, image_shape, mean=mean, variance=variance)
    raw = np.random.default_rng(0).integers(0, 256, (2, *image_shape)).astype("float32")
    x = (raw - mean) / np.sqrt(variance)
    if net_shape[:2] != image_shape[:2]:
        x = keras.ops.image.resize(x.astype("float32"), net_shape[:2])
    if channels == 1:
        x = np.repeat(np.array(x), net_shape[-1], -1)
    elif net_shape[-1] == 1:
        x = np.array(x) @ [[0.2989], [0.5870], [0.1140]]
    np.testing.assert_allclose(model(raw), net(np.array(x, "float32")), atol=2e-4)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "model.keras")(raw), model(raw)
    )


def test_raw_images_keep_every_tap_in_reach():
    net = models.build("resnet20", depth=8, input_shape=(16, 16, 3))
    model = models.with_preprocessing(net, (8, 8, 1), mean=[0.0], variance=[1.0])
    assert keras.Model(model.input, model.get_layer("stage3").output).output_shape == (
        None,
        4,
        4,
        64,
    )


def test_a_net_that_resizes_and_normalizes_may_follow_layers_that_do():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Normalization(mean=[3.0], variance=[4.0], name="normalization")(image)
    keras.utils.clear_session()  # names begin anew, as in a process that reads the net from a file
    x = keras.ops.image.resize(x, (4, 4))
    net = keras.Model(image, keras.layers.Flatten()(x))
    keras.utils.clear_session()
    model = models.with_preprocessing(net, (16, 16, 1), mean=[10.0], variance=[25.0])
    raw = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1)).astype("float32")
    resized = np.array(keras.ops.image.resize((raw - 10) / 5, (8, 8)))
    expected = np.array(keras.ops.image.resize((resized - 3) / 2, (4, 4))).reshape(2, 16)
    np.testing.assert_allclose(model(raw), expected, atol=1e-4)


def test_every_output_of_a_net_is_one_after_preprocessing():
    net = small("googlenet", aux=True)
    raw = images(2, *net.input_shape[1:])
    model = models.with_preprocessing(net, raw.shape[1:], mean=[0.0] * 3, variance=[1.0] * 3)
    expected, found = net(raw), model(raw)
    assert list(found) == list(expected) == ["logits", "aux_logits1", "aux_logits2"]
    for name, logits in expected.items():
        np.testing.assert_allclose(found[name], logits, rtol=1e-4, atol=1e-5)
    net = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    model = models.with_preprocessing(net, (2, 2, 1), mean=[1.0], variance=[4.0])
    np.testing.assert_allclose(model(np.full((1, 2, 2, 1), 7.0)), [[3.0] * 4])


def test_channels_that_do_not_convert_are_refused():
    net = models.build("linear", input_shape=(8, 8, 4))
    with pytest.raises(ValueError, match="3 channels and the net takes 4"):
        models.with_preprocessing(net, (8, 8, 3), mean=[0.0] * 3, variance=[1.0] * 3)


@pytest.mark.slow
def test_importing_models_on_jax_leaves_tensorflow_alone():
    code = (
        "import sys; from cvcourse import models; "
        "logits = models.build('resnet20', depth=8)(__import__('numpy').zeros((1, 32, 32, 3))); "
        "print(logits.shape, 'tensorflow' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == "(1, 10) False", ran.stderr
