"""Convolution and pooling in NumPy, by loops and by im2col: fixtures, gradients, equality."""

import functools

import classic_cases
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal

from cvcourse.classic import convolution, layers, pooling, windows

pytestmark = pytest.mark.usefixtures("double_precision")

CONVOLUTIONS = {
    name: tuple(getattr(convolution, f"conv_{way}_{name}") for way in ("forward", "backward"))
    for name in ("naive", "im2col")
}
POOLS = {
    name: tuple(getattr(pooling, f"{pool}_{way}{form}") for way in ("forward", "backward"))
    for name, pool, form in (
        ("naive", "max_pool", "_naive"),
        ("fast", "max_pool", "_fast"),
        ("average", "avg_pool", ""),
    )
}


def conv(name, stride, pad):
    forward, backward = CONVOLUTIONS[name]
    param = {"stride": stride, "pad": pad}
    return functools.partial(Pair, functools.partial(forward, conv_param=param), backward)


def pool(name, pool_height, pool_width, stride):
    forward, backward = POOLS[name]
    param = {"pool_height": pool_height, "pool_width": pool_width, "stride": stride}
    return functools.partial(Pair, functools.partial(forward, pool_param=param), backward)


def chain(*pairs):
    """A pair of several in a row; the first has the inputs w and b as well."""

    def forward(x, w, b):
        out, *caches = pairs[0].forward(x, w, b)
        for pair in pairs[1:]:
            out, cache = pair.forward(out)
            caches.append(cache)
        return out, caches

    def backward(dout, caches):
        for pair, cache in zip(pairs[:0:-1], caches[:0:-1], strict=True):
            dout = pair.backward(dout, cache)
        return pairs[0].backward(dout, caches[0])

    return functools.partial(Pair, forward, backward)


RELU = Pair(layers.relu_forward, layers.relu_backward, {})


def alexnet(input, filters, kernel, stride, pad):
    height, width, channels = input  # the notes' order
    sizes = convolution.conv_sizes(
        (channels, height, width), filters, (kernel, kernel), stride, pad
    )
    f, rows, columns = sizes["output"]
    return sizes | {"output": (rows, columns, f)}


def vgg16(input, convs, dense, kernel, pad):
    """Weights of each layer; a dense layer is a convolution by filters of the image's size."""
    shape, weights = input[::-1], []
    for filters in convs:
        if filters == "pool":
            shape = shape[0], *windows.output_size((1, *shape), (2, 2), 2, 0)
            continue
        sizes = convolution.conv_sizes(shape, filters, (kernel, kernel), 1, pad)
        shape = sizes["output"]
        weights.append(sizes["weights"])
    for filters in dense:
        sizes = convolution.conv_sizes(shape, filters, shape[1:], 1, 0)
        shape = sizes["output"]
        weights.append(sizes["weights"])
    return {"weights": weights}


def conv_relu_pool(dout, stride, pad, pool_size=None, **x):
    last = [pool("fast", pool_size, pool_size, pool_size)({})] if pool_size else []
    return chain(conv("im2col", stride, pad)({}), RELU, *last)(x, dout=dout)


def fixtures(conv_form, pool_form):
    return {
        "conv_forward": lambda x, w, b, **param: {
            "out": conv(conv_form, **param)({}).forward(x, w, b)[0]
        },
        "max_pool_forward": lambda x, **param: {"out": pool(pool_form, **param)({}).forward(x)[0]},
        "grad_max_pool": lambda x, dout, **param: pool(pool_form, **param)({"x": x}, dout=dout),
    }


NAIVE = fixtures("naive", "naive")
FIXTURES = fixtures("im2col", "fast") | {
    "grad_conv": lambda dout, stride, pad, **x: conv("im2col", stride, pad)(x, dout=dout),
    "grad_conv_relu": conv_relu_pool,
    "grad_conv_relu_pool": lambda pool, **given: conv_relu_pool(pool_size=pool, **given),
    "notes_conv_alexnet": alexnet,
    "notes_vgg16_weights": vgg16,
}

IMAGES = {"x": normal(2, 3, 7, 9), "w": normal(4, 3, 3, 5), "b": normal(4)}
SMALL = {"x": normal(1, 2, 3, 5), "w": normal(2, 2, 3, 3), "b": normal(2)}  # loops are slow
MAPS = {"x": normal(2, 3, 7, 9)}
TIES = {"x": np.random.default_rng(0).integers(2, size=(3, 2, 6, 6)).astype("float64")}


def by_keras(stride, pad):
    """Convolution by TensorFlow, channels last on a CPU."""

    def function(x, w, b):
        x = tf.pad(tf.transpose(x, (0, 2, 3, 1)), [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        y = tf.nn.conv2d(x, tf.transpose(w, (2, 3, 1, 0)), stride, "VALID") + b
        return tf.transpose(y, (0, 3, 1, 2))

    return function


def pool_by_keras(function, *field, stride):
    def pooled(x):
        y = function(tf.transpose(x, (0, 2, 3, 1)), field, stride, "VALID")
        return tf.transpose(y, (0, 3, 1, 2))

    return pooled


GRADIENTS = {
    **{
        f"conv {form}, stride {stride}, pad {pad}": conv(form, stride, pad)(
            SMALL if form == "naive" else IMAGES, by_keras(stride, pad)
        )
        for form in CONVOLUTIONS
        for stride, pad in ((1, 0), (1, 2), (2, 1))
    },
    **{
        f"pool {form}, {height}x{width}, stride {stride}": pool(form, height, width, stride)(
            MAPS,
            pool_by_keras(
                tf.nn.avg_pool2d if form == "average" else tf.nn.max_pool2d,
                height,
                width,
                stride=stride,
            ),
        )
        for form in POOLS
        for height, width, stride in ((1, 3, 3), (3, 3, 2), (3, 5, 1))
    },
}


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures(name):
    classic_cases.check_fixture(FIXTURES, name)


@pytest.mark.parametrize("name", NAIVE)
def test_fixtures_by_loops(name):
    classic_cases.check_fixture(NAIVE, name)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    classic_cases.check_slopes(GRADIENTS[name])
    classic_cases.check_against_keras(GRADIENTS[name])
    classic_cases.check_types(GRADIENTS[name])
    classic_cases.check_integers(GRADIENTS[name])
    classic_cases.check_gradient_shapes(GRADIENTS[name])


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 2), (2, 1), (4, 2)])
def test_loops_and_im2col_give_the_same(stride, pad):
    naive, fast = (
        classic_cases.run(conv(form, stride, pad)(IMAGES), IMAGES)[1:3] for form in CONVOLUTIONS
    )
    np.testing.assert_allclose(fast[1], naive[1], atol=1e-12)
    for name in IMAGES:
        np.testing.assert_allclose(fast[0][name], naive[0][name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("form", ["naive", "fast"])
def test_of_equal_values_the_first_has_the_gradient(form):
    """Of zeros and ones, most windows have ties; TensorFlow takes the first of them as well."""
    pair = pool(form, 3, 3, stride=1)
    classic_cases.check_against_keras(pair(TIES, pool_by_keras(tf.nn.max_pool2d, 3, 3, stride=1)))
    out, cache = pool(form, 2, 2, stride=2)({}).forward(np.ones((1, 1, 2, 2)))
    dx = POOLS[form][1](out, cache)
    np.testing.assert_array_equal(dx[0, 0], [[1, 0], [0, 0]])


def test_columns_are_windows():
    x = IMAGES["x"]
    cols = windows.im2col(x, 3, 5, pad=1, stride=2).reshape(3 * 3 * 5, 2, 4, 4)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for n, i, j in np.ndindex(2, 4, 4):
        window = padded[n, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 5]
        np.testing.assert_array_equal(cols[:, n, i, j], window.ravel())


def test_adding_columns_back_is_the_adjoint_of_copying_them():
    """<im2col(x), y> = <x, col2im(y)>."""
    x = IMAGES["x"]
    cols = windows.im2col(x, 3, 5, pad=1, stride=2)
    other = normal(*cols.shape)
    image = windows.col2im(other, x.shape, 3, 5, pad=1, stride=2)
    assert np.vdot(cols, other) == pytest.approx(np.vdot(x, image), rel=1e-12)


def param(**given):
    return {"stride": 1, "pad": 0} | given


ONE, FILTERS, BIAS = np.ones((2, 3, 6, 7)), np.ones((4, 3, 3, 3)), np.ones(4)
WRONG = {
    "channels": (
        (ONE, np.ones((4, 2, 3, 3)), BIAS, param()),
        "x (2, 3, 6, 7), w (4, 2, 3, 3), b (4,); expected x (N, C, H, W), w (F, C, HH, WW), b (F)",
    ),
    "biases": ((ONE, FILTERS, np.ones(3), param()), "w (4, 3, 3, 3), b (3,)"),
    "one image": ((ONE[0], FILTERS, BIAS, param()), "x (3, 6, 7), w (4, 3, 3, 3)"),
    "tiles": (
        (ONE, FILTERS, BIAS, param(stride=2)),
        "windows (3, 3) with stride 2 do not tile x (2, 3, 6, 7) with pad 0",
    ),
    "small image": (
        (ONE, np.ones((4, 3, 7, 7)), BIAS, param()),
        "windows (7, 7) with stride 1 do not tile x (2, 3, 6, 7) with pad 0",
    ),
    "stride": ((ONE, FILTERS, BIAS, param(stride=0)), "stride 0, pad 0; window and stride are 1"),
    "pad": ((ONE, FILTERS, BIAS, param(pad=-1)), "pad -1; window"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("form", CONVOLUTIONS)
def test_wrong_inputs(form, name):
    given, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        CONVOLUTIONS[form][0](*given)
    assert message in str(error.value)


@pytest.mark.parametrize("form", POOLS)
def test_wrong_pools(form):
    with pytest.raises(
        ValueError, match=r"windows \(2, 2\) with stride 2 do not tile x \(2, 3, 6, 7"
    ):
        pool(form, 2, 2, 2)({}).forward(ONE)
    with pytest.raises(ValueError, match=r"x \(3, 6, 7\); expected x \(N, C, H, W\)"):
        pool(form, 2, 2, 2)({}).forward(ONE[0])
