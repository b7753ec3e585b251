"""Padding: what torch does, on every size, with as few copies as can be."""

import keras
import numpy as np
import pytest

from cvcourse.models import convolution

WIDTHS = {  # pixels before and after, in NumPy's terms
    "valid": lambda n, k, s: (0, 0),
    "symmetric": lambda n, k, s: (k // 2, k // 2),
    "ceil": lambda n, k, s: (0, -(n - k) % s),
    "far": lambda n, k, s: (0, k // 2) if s > 1 else (k // 2, k // 2),
    "same": lambda n, k, s: divided(max((-(-n // s) - 1) * s + k - n, 0)),
}


def divided(total):
    return total // 2, total - total // 2


def windows(x, size, stride, padding, value):
    """(h, w) -> its windows (h', w', k, k), after padding by hand."""
    x = np.pad(x, [WIDTHS[padding](n, size, stride) for n in x.shape], constant_values=value)
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size))
    return seen[::stride, ::stride]


def run(function, x, *, open_size):
    inputs = keras.Input((None, None, 1) if open_size else (*x.shape, 1))
    return np.array(keras.Model(inputs, function(inputs))(x[None, ..., None]))[0, ..., 0]


@pytest.mark.parametrize("open_size", [False, True])
@pytest.mark.parametrize("padding", WIDTHS)
@pytest.mark.parametrize(("size", "stride"), [(1, 2), (3, 1), (3, 2), (5, 2), (7, 2), (2, 2)])
def test_windows_are_where_the_padding_says(padding, size, stride, open_size):
    for shape in [(8, 9), (9, 12), (11, 7), (13, 10)]:
        x = np.random.default_rng(0).normal(size=shape).astype("float32") - 3
        if size >= stride and (padding == "ceil" or size % 2):
            pooled = run(
                lambda t: convolution.max_pool(t, size, stride, padding=padding, name="p"),
                x,
                open_size=open_size,
            )
            expected = windows(x, size, stride, padding, -np.inf).max((2, 3))
            np.testing.assert_array_equal(pooled, expected)
        if size % 2:
            summed = run(
                lambda t: convolution.conv(
                    t, 1, size, stride, padding=padding, kernel_initializer="ones", name="c"
                ),
                x,
                open_size=open_size,
            )
            expected = windows(x, size, stride, padding, 0).sum((2, 3))
            np.testing.assert_allclose(summed, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size", "stride", "copies"),
    [
        ((8, 8), 3, 1, False),
        ((None, None), 3, 1, False),
        ((9, 13), 3, 2, False),  # odd sides: "same" is symmetric
        ((8, 8), 1, 2, False),
        ((9, 8), 3, 2, True),
        ((None, None), 3, 2, True),
    ],
)
def test_a_map_is_copied_only_where_it_must_be(shape, size, stride, copies):
    x = keras.Input((*shape, 1))
    padded, _ = convolution.padded(x, size, stride, "symmetric", name="c")
    assert (padded is not x) == copies


def test_a_group_a_channel_is_a_depthwise_convolution():
    x = keras.Input((8, 8, 6))
    kinds = {
        groups: keras.Model(x, convolution.conv(x, 6, 3, groups=groups, name="c")).layers[-1]
        for groups in (1, 2, 6)
    }
    assert {g: type(layer).__name__ for g, layer in kinds.items()} == {
        1: "Conv2D",
        2: "GroupedConv2D",
        6: "DepthwiseConv2D",
    }
    assert [tuple(layer.kernel.shape) for layer in kinds.values()] == [
        (3, 3, 6, 6),
        (3, 3, 3, 6),
        (3, 3, 6, 1),
    ]


@pytest.mark.parametrize("shape", [(9, 8), (None, None)])
@pytest.mark.parametrize("padding", ["symmetric", "far", 2])
@pytest.mark.parametrize("use_bias", [False, True])
def test_a_depthwise_convolution_that_pads_is_pad_and_convolution(shape, padding, use_bias):
    x = keras.Input((*shape, 6))
    settings = dict(groups=6, padding=padding, use_bias=use_bias, name="c")
    net = keras.Model(x, convolution.conv(x, 6, 3, 2, **settings))
    assert [layer.name for layer in net.layers[1:]] == ["c"]  # nothing copies the map
    net.set_weights(
        [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(net.weights)]
    )
    apart = keras.Sequential(
        [
            keras.layers.ZeroPadding2D({"symmetric": 1, "far": ((0, 1), (0, 1)), 2: 2}[padding]),
            keras.layers.DepthwiseConv2D(3, 2, use_bias=use_bias),
        ]
    )
    images = np.random.default_rng(9).normal(size=(2, 9, 8, 6)).astype("float32")
    apart.build(images.shape)
    apart.set_weights(net.get_weights())
    np.testing.assert_allclose(net(images), apart(images), atol=1e-6)
    assert net.compute_output_shape(images.shape) == tuple(apart(images).shape)
    again = keras.Model.from_config(net.get_config())
    again.set_weights(net.get_weights())
    np.testing.assert_array_equal(again(images), net(images))
