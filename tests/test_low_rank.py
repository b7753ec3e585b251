"""Low-rank factorization against NumPy's decompositions."""

import keras
import numpy as np
import pytest
from keras import layers

import cvcourse.layers  # noqa: F401
from cvcourse import models
from cvcourse.compression import factorize, low_rank, spectrum
from cvcourse.compression.surgery import replaced
from cvcourse.models._cost import without_weights

SCHEMES = ("svd", "spatial", "tucker")


@pytest.fixture(scope="module")
def net():
    """A dense layer, a convolution in a nested model, a layer that is called twice."""
    keras.utils.set_random_seed(0)
    image = keras.Input((9, 8, 6))
    x = layers.Conv2D(24, 3, 2, "same", activation="relu", name="conv")(image)
    inner = keras.Model(image, x, name="inner")
    image = keras.Input((9, 8, 6), name="image")
    x = layers.Flatten(name="flatten")(inner(image))
    x = layers.Dense(48, activation="relu", name="fc")(x)
    twice = layers.Dense(48, name="twice", trainable=False)
    return keras.Model(image, layers.Dense(10, name="logits")(twice(twice(x))))


def images(model, count=3):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def single(layer, shape):
    """A model of one layer with a bias that is not 0."""
    model = keras.Sequential([keras.Input(shape), layer])
    layer.bias.assign(np.random.default_rng(1).normal(size=layer.bias.shape))
    return model


def mode_product(kernel, matrix, axis):
    return np.moveaxis(np.tensordot(kernel, matrix, (axis, 0)), -1, axis)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(7, activation="tanh", name="layer"), (5, 9)),
        (layers.Conv1D(6, 4, padding="causal", dilation_rate=2, name="layer"), (11, 5)),
        (layers.Conv2D(6, (3, 5), (2, 1), "same", activation="relu", name="layer"), (11, 8, 5)),
        (layers.Conv2D(6, (5, 3), dilation_rate=(1, 2), name="layer"), (11, 8, 5)),
        (layers.Conv2D(6, 1, 2, name="layer"), (7, 8, 5)),
        (layers.Conv3D(6, (2, 3, 1), padding="same", name="layer"), (3, 4, 5, 5)),
    ],
)
def test_full_rank_is_exact(scheme, layer, shape):
    model = single(layer, shape)
    [form] = low_rank._forms(model, scheme, ["layer"])
    full = form.full
    if isinstance(form, low_rank._Tucker):  # at full rank, its layers of 1 x 1 are left out
        full = (4, 5)
        u, v = (u[:, :r] for (u, _), r in zip(form.decomposition, full, strict=True))
        kernel = mode_product(mode_product(form.array, u @ u.T, -2), v @ v.T, -1)
        layer.kernel.assign(kernel)  # now of these ranks
        [form] = low_rank._forms(model, scheme, ["layer"])
        np.testing.assert_array_less(form.decomposition[0][1][4:], 1e-6)
    chain = form.chain(full, {"layer"})
    assert len(chain) == (3 if isinstance(form, low_rank._Tucker) else 2)
    new = replaced(model, {"layer": chain})
    np.testing.assert_allclose(new(images(model)), model(images(model)), atol=2e-6)
    assert new.count_params() == form.cost(full)[0] + layer.bias.shape[0]


def test_the_error_is_the_tail_of_the_spectrum():
    """Eckart & Young 1936: no matrix of this rank is nearer."""
    dense = single(layers.Dense(30, name="fc"), (40,))
    conv = single(layers.Conv2D(30, (3, 5), name="conv"), (9, 9, 4))
    matrix = conv.layers[0].kernel.numpy().transpose(0, 2, 1, 3).reshape(3 * 4, 5 * 30)
    for model, scheme, unfolded in (
        (dense, "svd", dense.layers[0].kernel.numpy()),
        (conv, "channel", conv.layers[0].kernel.numpy().reshape(-1, 30)),
        (conv, "spatial", matrix),
    ):
        singular = np.linalg.svd(unfolded, compute_uv=False)
        [row] = spectrum(model, scheme=scheme)
        np.testing.assert_allclose(row.singular_values, singular, rtol=1e-5)
        kept = np.cumsum(singular**2) / np.sum(singular**2)
        assert [row.rank_90, row.rank_95, row.rank_99] == [
            np.argmax(kept >= share) + 1 for share in (0.9, 0.95, 0.99)
        ]
        first, second = (
            layer.kernel.numpy() for layer in factorize(model, rank=5, scheme=scheme).layers[1:]
        )
        right = np.moveaxis(second, -2, 0).reshape(5, -1)
        error = np.linalg.norm(unfolded - first.reshape(-1, 5) @ right)
        np.testing.assert_allclose(error, np.sqrt(np.sum(singular[5:] ** 2)), rtol=1e-4)
        for kernel in (first, second):  # the singular values in equal parts
            np.testing.assert_allclose(np.sum(kernel**2), singular[:5].sum(), rtol=1e-4)


def test_all_of_the_energy_is_the_rank_of_the_matrix():
    """Not that of float32's rounding errors; and only the last layer is regularized."""
    model = single(layers.Dense(30, activity_regularizer="l2", name="fc"), (40,))
    rng = np.random.default_rng(0)
    model.layers[0].kernel.assign(rng.normal(size=(40, 4)) @ rng.normal(size=(4, 30)))
    *_, first, last = factorize(model, energy=1.0).layers
    assert first.units == 4
    assert first.activity_regularizer is None and last.activity_regularizer is not None
    for scale in (1, 0):  # singular values of zero
        model.layers[0].kernel.assign(scale * np.array(model.layers[0].kernel))
        new = factorize(model, rank=10)
        np.testing.assert_allclose(new(images(model)), model(images(model)), atol=1e-4)


def test_a_strided_convolution_of_images_of_any_size():
    """Before the stride, a 1 x 1 layer has 4 pixels for each of the output."""
    model = single(layers.Conv2D(30, 3, 2, name="conv"), (None, None, 20))
    [form] = low_rank._forms(model, "tucker", None)
    assert form.cost((8, 6))[1] == 4 * 20 * 8 + 9 * 8 * 6 + 6 * 30


def test_tucker_projects_both_channel_axes():
    model = single(layers.Conv2D(30, 3, name="conv"), (9, 9, 20))
    new = factorize(model, rank={"conv": 8}, scheme="tucker")
    assert [layer.name for layer in new.layers[1:]] == ["conv_v", "conv_core", "conv"]
    first, core, last = (layer.kernel.numpy() for layer in new.layers[1:])
    assert (first.shape, core.shape, last.shape) == ((1, 1, 20, 8), (3, 3, 8, 8), (1, 1, 8, 30))
    kernel = model.layers[0].kernel.numpy()
    u = np.linalg.svd(np.moveaxis(kernel, 2, 0).reshape(20, -1), full_matrices=False)[0][:, :8]
    v = np.linalg.svd(np.moveaxis(kernel, 3, 0).reshape(30, -1), full_matrices=False)[0][:, :8]
    expected = np.einsum("hwcn,ca,ia,nb,jb->hwij", kernel, u, u, v, v, optimize=True)
    found = np.einsum("ia,hwab,bj->hwij", first[0, 0], core, last[0, 0], optimize=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rows = spectrum(model, scheme="tucker")
    assert [len(row.singular_values) for row in rows] == [20, 30]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_multiply_accumulates_are_those_of_the_cost(net, scheme, capsys):
    whole = models.cost(net).macs
    new = factorize(net, macs=0.5, scheme=scheme)
    assert 0.45 * whole < models.cost(new).macs <= 0.5 * whole
    for form in low_rank._forms(net, scheme, None):
        rank = form.break_even - 1
        other = factorize(net, rank={form.kernel.step: rank}, scheme=scheme)
        saved = models.cost(net).macs - models.cost(other).macs
        assert saved == form.own_cost[1] - form.cost(form.clipped(rank))[1] > 0
    assert (
        "factorize: unchanged: fc (Dense), twice (Dense), logits (Dense)" in capsys.readouterr().err
    )


def test_ranks_are_cut_as_in_zhang_et_al():
    """Section 3.4: one eigenvalue a step, with the least relative loss per complexity."""
    shapes = {"fc1": (64, 48), "fc2": (48, 30), "fc3": (30, 20)}
    model = keras.Sequential(
        [keras.Input((64,)), *(layers.Dense(n, name=k) for k, (_, n) in shapes.items())]
    )
    squares = {row.name: [*row.singular_values**2] for row in spectrum(model)}
    size = {name: m * n for name, (m, n) in shapes.items()}

    def total():
        chains = (min(size[k], len(squares[k]) * sum(shapes[k])) for k in shapes)
        return sum(chains)

    while total() > 0.4 * sum(size.values()):
        losses = {k: s[-1] / sum(s) / (size[k] / min(shapes[k])) for k, s in squares.items()}
        squares[min(losses, key=losses.get)].pop()
    new = factorize(model, macs=0.4)
    ranks = {name: new.get_layer(f"{name}_v").units for name in shapes}
    assert ranks == {name: len(left) for name, left in squares.items()}


def test_nested_shared_saved_and_factorized_again(net, tmp_path):
    new = factorize(net, rank=4, scheme="spatial")
    names = ["image", "inner", "flatten", "fc_v", "fc", "twice_v", "twice", "logits_v", "logits"]
    assert [layer.name for layer in new.layers] == names
    assert [layer.name for layer in new.get_layer("inner").layers[1:]] == ["conv_v", "conv"]
    assert not new.get_layer("twice_v").trainable and not new.get_layer("twice").trainable
    assert new.get_layer("fc_v").activation is keras.activations.linear
    before = [v.numpy() for v in net.variables]
    new.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    new.fit(images(new), np.arange(3), verbose=0)
    for old, value in zip(net.variables, before, strict=True):
        np.testing.assert_array_equal(old, value)
    new.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(images(net)), new(images(net)))
    third = factorize(again, rank={"fc": 2})
    assert [layer.name for layer in third.layers][3:6] == ["fc_v", "fc_v_v", "fc"]


def test_other_precision_and_other_classes(capsys):
    class Half(layers.Dense):
        def call(self, x):
            return super().call(x) / 2

    x = keras.Input((6, 20), dtype="bfloat16")
    policy = {"dtype": "mixed_bfloat16"}
    y = layers.Dense(40, name="fc", **policy)(x)
    y = layers.Conv1D(40, 3, groups=2, name="groups", **policy)(y)
    y = Half(40, name="half", **policy)(y)
    y = layers.Dense(40, kernel_constraint="non_neg", name="constraint", **policy)(y)
    model = keras.Model(x, layers.LSTM(8, name="lstm", **policy)(y))
    new = factorize(model, energy=0.5)
    assert [layer.name for layer in new.layers][1:3] == ["fc_v", "fc"]
    assert new.get_layer("fc").compute_dtype == "bfloat16"
    assert (
        "unchanged: groups (Conv1D), half (Half), constraint (Dense), lstm (LSTM)"
        in capsys.readouterr().err
    )
    with pytest.raises(ValueError, match=r"without groups; received groups \(Conv1D\)"):
        factorize(model, energy=0.5, layers=["groups"])


def test_images_of_any_size():
    x = keras.Input((None, None, 8))
    model = keras.Model(x, layers.Conv2D(32, 3, 2, name="conv")(x))
    new = factorize(model, rank=3, scheme="spatial")
    assert new(np.ones((1, 9, 7, 8), "float32")).shape == (1, 4, 3, 32)
    with pytest.raises(ValueError, match="images of any size"):
        factorize(model, macs=0.5)


def test_what_would_grow_is_refused(net):
    def refused(vgg):
        with pytest.raises(
            ValueError, match=r"rank 3600 of fc1 would make it larger \(break-even 3521\)"
        ):
            factorize(vgg, rank={"fc1": 3600})
        with pytest.raises(
            ValueError, match=r"rank 2048 of fc2 would make it no smaller .* 2048\)"
        ):
            factorize(vgg, rank=2048, layers=["fc2"])

    without_weights(refused, "vgg16", {})
    with pytest.raises(ValueError, match="rank 500 of fc would make it larger"):
        factorize(net, rank=500)
    with pytest.raises(ValueError, match=r"no layer of .* would become smaller: .* energy=1"):
        factorize(net, energy=1)
    with pytest.raises(ValueError, match=r"macs=0.001 cannot be reached: rank 1 leaves 0.0\d\d of"):
        factorize(net, macs=0.001)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs one of rank, energy and macs; received {'rank': None, 'energy': None"),
        ({"rank": 3, "energy": 0.5}, "needs one of rank, energy and macs"),
        ({"rank": 0}, "a rank must be a whole number over 0; received 0"),
        ({"rank": 2.5}, "a rank must be a whole number over 0; received 2.5"),
        ({"rank": True}, "a rank must be a whole number over 0; received True"),
        ({"rank": {"fcc": 3}}, "unknown layer 'fcc': did you mean 'fc'"),
        ({"rank": {"fc": 3}, "layers": ["fc"]}, "rank names its layers"),
        ({"energy": 1.1}, "energy must be greater than 0 up to 1; received 1.1"),
        ({"macs": 1}, "macs must be greater than 0 and less than 1; received 1"),
        ({"macs": float("nan")}, "macs must be greater than 0 and less than 1; received nan"),
        ({"rank": 3, "scheme": "SVD3"}, "unknown scheme 'SVD3'"),
        ({"rank": 3, "layers": ["flatten"]}, "the layers flatten have no kernel"),
    ],
)
def test_bad_settings(net, settings, message):
    with pytest.raises(ValueError, match=message):
        factorize(net, **settings)


def test_nan_is_named():
    model = single(layers.Dense(20, name="fc"), (20,))
    model.layers[0].kernel.assign(np.full((20, 20), np.nan))
    with pytest.raises(ValueError, match="the kernel of fc contains NaN or infinity"):
        factorize(model, energy=0.5)
