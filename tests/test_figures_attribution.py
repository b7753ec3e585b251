"""Pictures of maps: their colors against the values, one scale, honest overlays."""

import numpy as np
import pytest

from cvcourse import figures


def test_one_scale_for_maps_that_are_compared():
    small, large = np.full((20, 20), 0.5), np.linspace(-2, 1, 400).reshape(20, 20)
    assert figures.map_scale(small, large) == np.sort(abs(np.append(small, large)))[-4]
    assert figures.map_scale(0 * small) == 1
    one_pixel = np.zeros((50, 50))
    one_pixel[3, 4] = -7
    assert figures.map_scale(one_pixel) == 7
    twice = [figures.map_picture(one, scale=2.0, signed=True) for one in (small, small * 2)]
    np.testing.assert_array_equal(figures.map_picture(small, scale=1.0, signed=True), twice[1])
    assert (twice[0] != twice[1]).any()


def test_signed_maps_are_symmetric_and_positive_ones_begin_black():
    values = np.array([[-3.0, -1.0, 0.0, 1.0, 3.0]])
    red, _, blue = figures.map_picture(values)[0].astype(int).T
    assert red[0] < blue[0] and red[4] > blue[4] and abs(red[2] - blue[2]) <= 1
    assert abs(red[1] - blue[1]) < abs(red[0] - blue[0])
    assert figures.map_picture(np.array([[0.0, 1.0]]))[0, 0].max() < 5
    color = figures.map_picture(np.array([[[-1.0, 0.0, 1.0]]]))
    np.testing.assert_array_equal(color, [[[0, 128, 255]]])
    np.testing.assert_array_equal(
        figures.map_picture(values[..., None]), figures.map_picture(values)
    )


def test_an_overlay_leaves_the_image_where_the_map_is_zero():
    rng = np.random.default_rng(0)
    image, values = rng.uniform(0, 255, (6, 5, 3)), np.zeros((6, 5))
    gray = np.round(image.mean(axis=-1))
    np.testing.assert_array_equal(figures.overlay(image, values)[..., 1], gray)
    values[2, 3] = 4
    found = figures.overlay(image, values).astype(int)
    changed = (found != gray[..., None]).any(axis=-1)
    assert changed.sum() == 1 and changed[2, 3]
    strongest = figures.map_picture(values)[2, 3]
    np.testing.assert_allclose(found[2, 3], 0.15 * image[2, 3].mean() + 0.85 * strongest, atol=0.6)
    channels = np.zeros((6, 5, 3))
    channels[2, 3] = (1, -4, 2)
    np.testing.assert_array_equal(
        figures.overlay(image, channels), figures.overlay(image, channels[..., 1])
    )
    with pytest.raises(ValueError, match=r"the map has the shape \(5, 6\), and the image \(6, 5"):
        figures.overlay(image, values.T)


def test_a_grid_has_one_scale_and_white_lines():
    filters = np.stack([np.full((2, 3, 1), value) for value in (-4.0, 0.0, 2.0)])
    grid = figures.image_grid(filters, columns=2)
    assert grid.shape == (7, 9, 3) and (grid[[0, 3, 6]] == 255).all()
    assert [int(grid[1, 1, 0]), int(grid[1, 5, 0]), int(grid[4, 1, 0])] == [0, 128, 191]
    positive = figures.image_grid(abs(filters), columns=3)
    assert [int(positive[1, column, 0]) for column in (1, 5, 9)] == [255, 0, 128]
    assert figures.image_grid(filters, columns=3, least=8).shape == (10, 40, 3)
    with pytest.raises(ValueError, match="images is empty"):
        figures.image_grid(filters[:0])


def test_cells_of_occlusion_are_in_the_middle_of_their_patches():
    places = np.linspace(0.2, 0.8, 12).reshape(3, 4)
    places[1, 2] = 0.1
    figure = figures.occlusion_map(places, (16, 20), patch=8, stride=4, name="cat", whole=0.9)
    ax = figure.axes[0]
    [heat] = ax.images
    left, right, bottom, top = heat.get_extent()
    assert (left, top) == (1.5, 1.5) and (right, bottom) == (1.5 + 16, 1.5 + 12)
    assert heat.get_clim() == (0.1, 0.9)
    [box] = ax.patches
    assert (*box.get_xy(), box.get_width()) == (7.5, 3.5, 8)


def test_crop_stays_in_the_image():
    image = np.arange(12).reshape(3, 4, 1)
    np.testing.assert_array_equal(figures.crop(image, (1, -5, 9, 2)), image[1:, :2])
