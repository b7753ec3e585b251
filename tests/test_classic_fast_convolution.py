"""Four methods of convolution: equal, their multiplications counted, their errors; filters."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from classic_cases import normal

from cvcourse.classic import convolution, fast_convolution, filters, precision, winograd
from cvcourse.classic.fast_convolution import METHODS

GENERAL = ("direct", "im2col", "FFT")  # of any kernel
SHAPES = {  # images, filters, pad
    "one tile": ((1, 1, 6, 6), (1, 1, 3, 3), 0),
    "channels and filters": ((2, 3, 10, 10), (4, 3, 3, 3), 1),
    "tiles over the border": ((2, 3, 9, 11), (4, 3, 3, 3), 0),
    "odd with a wide border": ((1, 2, 7, 13), (3, 2, 3, 3), 3),
    "one output": ((1, 2, 3, 3), (3, 2, 3, 3), 0),
    "5x5": ((2, 3, 9, 8), (4, 3, 5, 5), 2),
    "1x1": ((2, 3, 9, 8), (4, 3, 1, 1), 0),
    "2x4": ((2, 3, 9, 8), (4, 3, 2, 4), 1),
}


CASES = [
    (name, method, dtype)
    for name, (_, w_shape, _) in SHAPES.items()
    for method in (METHODS if w_shape[2:] == (3, 3) else GENERAL)
    for dtype in ("float64", "float32", "float16")
    if (method, dtype) != ("FFT", "float16")
]


@pytest.mark.parametrize(("name", "method", "dtype"), CASES)
def test_all_are_the_assignments_convolution(name, method, dtype):
    x_shape, w_shape, pad = SHAPES[name]
    x, w = normal(*x_shape), normal(*w_shape, seed=1)
    expected, _ = convolution.conv_forward_naive(x, w, np.zeros(len(w)), {"stride": 1, "pad": pad})
    found = METHODS[method](x.astype(dtype), w.astype(dtype), pad)
    assert found.dtype == dtype
    rounding = {"float64": 1e-13, "float32": 1e-5, "float16": 0.1}[dtype]
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * np.abs(expected).max())


class Number:
    """A number that counts its products, with others and with constants, in `counts`."""

    def __init__(self, value, counts):
        self.value, self.counts = value, counts

    def __add__(self, other):
        return Number(self.value + getattr(other, "value", other), self.counts)

    def __mul__(self, other):
        if isinstance(other, Number):
            self.counts["products"] += 1
        elif other not in (0, 1, -1):
            self.counts["constants"] += 1
        return Number(self.value * getattr(other, "value", other), self.counts)

    __radd__, __rmul__ = __add__, __mul__


def counted(values, counts):
    """Replace each value by a Number."""
    return np.vectorize(lambda value: Number(value, counts), otypes=[object])(values)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "FFT"])
@pytest.mark.parametrize("name", list(SHAPES)[:3])
def test_multiplications_are_those_done(name, method):
    x_shape, w_shape, _ = SHAPES[name]
    counts = {"products": 0, "constants": 0}
    x, w = normal(*x_shape), normal(*w_shape, seed=1)
    found = METHODS[method](counted(x, counts), counted(w, counts))
    values = np.vectorize(lambda number: number.value)(found)
    np.testing.assert_allclose(values, METHODS["direct"](x, w), atol=1e-12)
    expected = fast_convolution.multiplications(method, x_shape, w_shape)
    assert counts["products"] == expected["products"]
    # Zeros over the border aren't Numbers here: their products with constants aren't counted.
    missing = expected["constants"] - counts["constants"]
    assert missing == 0 or (
        name == "tiles over the border" and 0 < missing < 0.1 * counts["constants"]
    )


def fft(x, turns):
    """The radix-2 FFT of x; `turns` counts its complex multiplications."""
    if len(x) == 1:
        return x
    even, odd = fft(x[::2], turns), fft(x[1::2], turns)
    odd = odd * np.exp(-2j * np.pi * np.arange(len(odd)) / len(x))
    turns.append(len(odd))
    return np.concatenate([even + odd, even - odd])


def test_multiplications_of_the_fft():
    turns, x = [], normal(256)
    np.testing.assert_allclose(fft(x, turns), np.fft.fft(x), atol=1e-12)
    found = fast_convolution.multiplications("FFT", (1, 1, 16, 16), (1, 1, 3, 3))
    assert found["products"] == 4 * np.fft.rfft2(x.reshape(16, 16)).size
    assert found["constants"] == 3 * 4 * sum(turns) // 2  # image, filter and output; real


@pytest.mark.parametrize(("m", "fewer"), [(2, 2.25), (4, 4)])
def test_winograd_has_so_many_times_fewer(m, fewer):
    shapes = (3, 16, 34, 34), (8, 16, 3, 3)  # 32 x 32 outputs: whole tiles
    direct = fast_convolution.multiplications("direct", *shapes)["products"]
    fast = fast_convolution.multiplications(f"F({m}x{m}, 3x3)", *shapes)["products"]
    assert direct == 3 * 8 * 16 * 32 * 32 * 9
    assert direct / fast == fewer
    # In one dimension, m outputs by m + 2 products in place of 3 m.
    image, kernel, back = map(np.array, winograd.TRANSFORMS[m])
    x, w = normal(m + 2), normal(3)
    np.testing.assert_allclose(back @ ((kernel @ w) * (image @ x)), np.correlate(x, w), atol=1e-12)
    assert math.prod(image.shape) == (m + 2) ** 2


def test_errors_grow_with_the_constants():
    x, w = normal(2, 16, 18, 18), normal(8, 16, 3, 3, seed=1)
    errors = {
        dtype: [
            fast_convolution.rounding_error(method, x.astype(dtype), w.astype(dtype))
            for method in ("direct", "F(2x2, 3x3)", "F(4x4, 3x3)")
        ]
        for dtype in ("float16", "float32")
    }
    for direct, small, large in errors.values():
        assert direct < large
        assert small < large
    assert 1e-4 < errors["float16"][0] < 1e-2
    assert 1e-8 < errors["float32"][0] < 1e-6
    assert fast_convolution.rounding_error("FFT", x, w) < 1e-14


def test_products_of_float16_are_rounded_one_by_one():
    a, b = normal(3, 40).astype("float16"), normal(40, 5).astype("float16")
    expected = np.zeros((3, 5), "float16")
    for i, j, k in np.ndindex(3, 5, 40):
        expected[i, j] += a[i, k] * b[k, j]
    np.testing.assert_array_equal(precision.product(a, b), expected)


WRONG = {
    "channels": (((1, 2, 8, 8), (1, 3, 3, 3)), METHODS, "x (1, 2, 8, 8), w (1, 3, 3, 3)"),
    "small": (((1, 2, 8, 2), (1, 2, 3, 3)), METHODS, "do not tile x (1, 2, 8, 2) with pad 0"),
    "kernel": (
        ((1, 2, 8, 8), (1, 2, 5, 5)),
        [method for method in METHODS if method not in GENERAL],
        "w (1, 2, 5, 5); expected x (N, C, H, W), w (F, C, 3, 3)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    shapes, methods, message = WRONG[name]
    for method in methods:
        with pytest.raises(ValueError) as error:
            METHODS[method](*map(np.ones, shapes))
        assert message in str(error.value)


def test_no_fft_of_float16():
    with pytest.raises(ValueError, match="x is float16; the FFT computes in float32 or float64"):
        METHODS["FFT"](np.ones((1, 1, 4, 4), "float16"), np.ones((1, 1, 3, 3), "float16"))


# ---- filters ----


@pytest.mark.parametrize("name", filters.FILTERS)
@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 3)])
def test_a_filtered_photo(name, shape):
    photo = np.random.default_rng(0).integers(256, size=shape).astype("uint8")
    kernel = filters.FILTERS[name]
    if photo.ndim == 3:
        kernel = kernel[..., None]
    expected = scipy.ndimage.correlate(photo.astype(float), kernel, mode="nearest")
    found = filters.filter_image(photo, filters.FILTERS[name])
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("name", filters.FILTERS)
def test_a_response_is_the_gain_of_waves(name):
    """A wave of one frequency leaves a filter as that wave, times the response."""
    size, kernel = 16, filters.FILTERS[name]
    response = filters.frequency_response(kernel, size)
    for u, v in [(0, 0), (1, 0), (0, 3), (5, -2), (-8, -8)]:
        rows, columns = np.indices((size, size))
        wave = np.exp(2j * np.pi * (u * rows + v * columns) / size)
        out = scipy.signal.correlate2d(wave, kernel, mode="valid")
        np.testing.assert_allclose(np.abs(out), response[size // 2 + u, size // 2 + v], atol=1e-12)


SUMS = {"Sobel x": 0, "Sobel y": 0, "Laplacian": 0}  # derivatives; the others keep the brightness


@pytest.mark.parametrize("name", filters.FILTERS)
def test_even_brightness(name):
    response = filters.frequency_response(filters.FILTERS[name], 8)
    assert response[4, 4] == pytest.approx(SUMS.get(name, 1), abs=1e-12)


def test_wrong_filters():
    with pytest.raises(ValueError, match=r"photo \(4,\), kernel \(3, 3\)"):
        filters.filter_image(np.ones(4), np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"kernel \(2, 2\); a photo"):
        filters.filter_image(np.ones((4, 4)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"size 4 is less than the kernel's, \(5, 5\)"):
        filters.frequency_response(np.ones((5, 5)), 4)
