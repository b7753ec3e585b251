"""Feature maps of published weights: their places, their length, and what the network sees."""

import keras
import numpy as np
import pytest
from networks import write_random_mobilenet

from cvcourse import data, training
from cvcourse.models import pretrained

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights for MobileNet of a quarter's width, in Keras' names."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.npz"
    write_random_mobilenet(path)
    return path


@pytest.fixture(scope="module")
def backbone(weights):
    shape = (64, 64, 3)
    return pretrained.FeatureMaps.load("mobilenet", str(weights), width=0.25, input_shape=shape)


@pytest.mark.slow
def test_places_are_those_of_the_networks_map_at_one_length(backbone, weights):
    squares = rng.uniform(0, 255, (2, 73, 73, 3)).astype("float32")
    maps = backbone.model.predict_on_batch(squares)["features"]
    assert maps.shape == (2, 4, 256)
    assert (backbone.grid, backbone.size) == ((2, 2), 64)
    net, published = pretrained.load_published(
        "mobilenet", str(weights), width=0.25, input_shape=(64, 64, 3), num_classes=1000
    )
    whole = pretrained.with_preprocessing(net, published, (73, 73, 3))
    features = keras.Model(whole.input, whole.get_layer("features").output)
    expected = features.predict_on_batch(squares).reshape(2, 4, 256)
    expected *= 5 / np.linalg.norm(expected, axis=-1, keepdims=True)
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_a_line_describes_feature_maps(backbone):
    assert repr(backbone) == (
        "FeatureMaps('keras.mobilenet:mobilenet.npz', grid=(2, 2), channels=256, size=64)"
    )


def test_the_old_name_of_builder_args_warns(weights, backbone):
    with pytest.warns(FutureWarning, match="knobs is now called builder_args"):
        old = pretrained.FeatureMaps.load("mobilenet", weights, knobs={"width": 0.25}, size=64)
    assert (old.grid, old.size) == (backbone.grid, backbone.size)
    with pytest.raises(ValueError, match="input_shape is set by --size"):
        pretrained.FeatureMaps.load("mobilenet", weights, {"input_shape": (64, 64, 3)})


def test_a_photo_of_any_size_has_the_map_of_its_square(backbone):
    """As the square of `data.caption_rows.squares`, which Keras' resize equals."""
    photo = rng.uniform(0, 255, (50, 91, 3)).astype("float32")
    squares = backbone.squares
    square = keras.ops.image.resize(
        photo,
        (squares["side"],) * 2,
        interpolation=squares["interpolation"],
        antialias=True,
        crop_to_aspect_ratio=squares["crop"],
    )
    square = keras.ops.convert_to_numpy(square)
    expected = backbone.model(square[None], training=False)["features"]
    any_size = training.for_any_size(backbone.model)
    np.testing.assert_allclose(any_size(photo[None])["features"], expected, atol=1e-5)


def test_the_middle_of_a_square_is_seen(backbone):
    """Of 8 pixels the network sees 6, as 224 of 256."""
    published = backbone.published
    published = type(published)(**{**vars(published), "resize": 8, "size": 6})
    net = keras.Model((x := keras.Input((8, 8, 3))), {"features": x})
    maps = pretrained.FeatureMaps(net, published, (6, 6), size=6)
    square = np.arange(192, dtype="float32").reshape(8, 8, 3) * 1.5 - 3.2
    seen = maps.seen(square)
    expected = np.clip(np.round(square[1:7, 1:7]), 0, 255)
    np.testing.assert_array_equal(seen, expected)
    assert seen.dtype == "uint8"


def test_features_are_kept_for_the_same_network_built_again(backbone, weights, tmp_path):
    """Keras names a resize, which is no layer, by how many there were before."""
    split = data.Split(rng.uniform(0, 255, (3, 73, 73, 3)).astype("float32"), np.arange(3))
    kept = training.features(
        backbone.model, split, lambda split: [(split.images,)], cache_dir=tmp_path
    )
    again = pretrained.FeatureMaps.load("mobilenet", str(weights), {"width": 0.25}, size=64)
    names = [[one.name for one in net.model.operations] for net in (backbone, again)]
    assert names[0] != names[1]
    found = training.features(again.model, split, None, cache_dir=tmp_path)
    np.testing.assert_array_equal(found["features"], kept["features"])
