"""Features of images: equal to scikit-image's, matplotlib's, and loops over pixels."""

import itertools
import math

import matplotlib.colors
import numpy as np
import pytest

from cvcourse.classic import colors, features

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (40, 37), "uint8")
COLOR = RNG.integers(0, 256, (40, 37, 3), "uint8")
FLAT = np.full((24, 24, 3), 7, "uint8")
SETTINGS = [  # orientations, pixels_per_cell, cells_per_block
    (9, (8, 8), (3, 3)),
    (7, (5, 6), (2, 1)),
    (8, (4, 4), (1, 1)),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("norm", features.BLOCK_NORMS)
def test_hog_is_that_of_scikit_image(settings, norm):
    skimage = pytest.importorskip("skimage.feature")
    for image, dtype, root in itertools.product(
        (GRAY, COLOR, FLAT), ("uint8", "float32", "float64"), (False, True)
    ):
        given = image.astype(dtype)
        found = features.hog(given, *settings, norm, root)
        axis = -1 if image.ndim == 3 else None
        expected = skimage.hog(given, *settings, norm, transform_sqrt=root, channel_axis=axis)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def assignments_hog(gray, cell):
    """Mean strength of the cells by direction, with a loop over the pixels."""
    rows, columns = (size // cell for size in gray.shape)
    found = np.zeros((columns, rows, 9))
    for i, j in np.ndindex(rows * cell, columns * cell):
        dx = gray[i, j + 1] - gray[i, j] if j + 1 < gray.shape[1] else 0.0
        dy = gray[i + 1, j] - gray[i, j] if i + 1 < gray.shape[0] else 0.0
        if dx > 0 or (dx == 0 and dy == 0):  # brighter to the right
            angle = math.degrees(math.atan2(dy, dx)) + 90
            found[j // cell, i // cell, int(angle // 20)] += math.hypot(dx, dy) / cell**2
    return found.ravel()


@pytest.mark.parametrize("cell", [8, 5])
def test_the_assignment_s_hog_with_loops(cell):
    gray = COLOR @ np.array([0.299, 0.587, 0.144])
    for image, pixels in ((COLOR, gray), (GRAY, GRAY.astype(float)), (FLAT, np.zeros((24, 24)))):
        np.testing.assert_allclose(
            features.hog_feature(image, (cell, cell)),
            assignments_hog(pixels, cell),
            rtol=1e-9,
            atol=1e-9,
        )


def test_colors_are_those_of_matplotlib():
    few = RNG.integers(0, 4, (50, 60, 3)) / 3  # grays, and colors with equal channels
    for image in (few, COLOR / 255, few.astype("float32")):
        found = colors.rgb_to_hsv(image)
        assert found.dtype == image.dtype
        np.testing.assert_allclose(found, matplotlib.colors.rgb_to_hsv(image), atol=1e-6)


@pytest.mark.parametrize("xmin", [0, 100])
@pytest.mark.parametrize("bins", [10, 7])
def test_hues_are_counted_as_in_the_assignment(bins, xmin):
    hues = 255 * matplotlib.colors.rgb_to_hsv(COLOR / 255)[..., 0]
    edges = np.linspace(xmin, 255, bins + 1)
    counts = np.histogram(hues, edges)[0]
    found = features.color_histogram_hsv(COLOR, bins, xmin, normalized=False)
    np.testing.assert_array_equal(found, counts)
    density = np.histogram(hues, edges, density=True)[0]
    shares = features.color_histogram_hsv(COLOR, bins, xmin)
    np.testing.assert_allclose(shares, density * np.diff(edges), rtol=1e-12)
    assert shares.sum() == pytest.approx(1)


def test_features_of_many_images_are_those_of_each():
    images = RNG.integers(0, 256, (features.CHUNK + 3, 16, 16, 3), "uint8")
    functions = [features.hog_feature, features.color_histogram_hsv]
    found = features.extract_features(images, functions)
    each = [np.concatenate([function(image) for function in functions]) for image in images]
    np.testing.assert_allclose(found, each, rtol=1e-12)
    assert features.extract_features(images[:0], functions).shape == (0, 4 * 9 + 10)


WRONG = {
    "shape": (lambda: features.hog(np.zeros(3)), "image has shape (3,); it is (H, W), (H, W, C)"),
    "small for a cell": (
        lambda: features.hog_feature(np.zeros((8, 7))),
        "images of (8, 7) pixels are smaller than a cell of (8, 8)",
    ),
    "small for a block": (
        lambda: features.hog(np.zeros((24, 16))),
        "image (24, 16) has 3x2 cells of (8, 8) pixels; a block has (3, 3) cells",
    ),
    "norm": (
        lambda: features.hog(np.zeros((24, 24)), block_norm="L3"),
        "block_norm is 'L3'; it is one of L1, L1-sqrt, L2, L2-Hys",
    ),
    "gray": (
        lambda: features.color_histogram_hsv(np.zeros((8, 8))),
        "im (1, 8, 8, 1); expected im (N, H, W, 3)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
