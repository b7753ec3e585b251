"""Where somebody's own network has its features, against Keras' own sub-models of it."""

import keras
import numpy as np
import pytest
from keras import layers

from cvcourse.models.pretrained import feature_extractor, scales_pixels, with_resizing

RNG = np.random.default_rng(0)


def nested():
    """As Keras' guide on transfer learning builds them: augmentation, scaling, a base, a head."""
    image = keras.Input((24, 24, 3))
    x = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augment")(image)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    inside = keras.Input((24, 24, 3))
    y = layers.Conv2D(8, 3, strides=2, name="conv")(inside)
    y = layers.BatchNormalization()(y)
    base = keras.Model(inside, layers.Add()([y, layers.ReLU()(y)]), name="base")
    base.layers[2].set_weights(RNG.uniform(0.5, 1.5, (4, 8)))
    x = base(x, training=False)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(16, activation="relu", name="conv")(layers.Dropout(0.5)(x))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x)), "pool"


def adapted():
    """Statistics of pixels that `adapt` has found, and an open size."""
    scale = layers.Normalization(name="normalization")
    scale.adapt(RNG.uniform(0, 255, (4, 8, 8, 3)).astype("float32"))
    convolution = layers.Conv2D(8, 3, activation="relu")
    head = [layers.GlobalMaxPooling2D(name="pool"), layers.Dense(4, name="logits")]
    return keras.Sequential([keras.Input((None, None, 3)), scale, convolution, *head]), "pool"


def two_poolings():
    """The mean and the largest value of each channel side by side."""
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3)(image)
    both = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    return keras.Model(image, layers.Dense(3)(layers.Concatenate(name="both")(both))), "both"


def embedding():
    """Squeeze and excitation inside, and a map of one place before the head."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3)(layers.Rescaling(1 / 255)(image))
    weight = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = x * layers.Conv2D(6, 1, activation="sigmoid")(weight)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Flatten()(layers.Conv2D(7, 1)(x))
    return keras.Model(image, layers.UnitNormalization()(x)), "pool"


def nested_outputs():
    """A base of two maps in a dict; images by name, and a fixed batch size."""
    image = keras.Input((16, 16, 3), name="photo")
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))
    base = keras.Model({"photo": image}, {"fine": x, "coarse": layers.MaxPooling2D()(x)})
    image = keras.Input((16, 16, 3), batch_size=4, name="image")
    maps = base({"photo": image})
    pools = [layers.GlobalAveragePooling2D()(maps[name]) for name in ("fine", "coarse")]
    x = layers.Concatenate(name="both")(pools)
    return keras.Model({"image": image}, {"classes": layers.Dense(3)(x)}), "both"


def small(*head):
    """So few pixels that a single place is left before the head, and after its last addition."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 8)(layers.Rescaling(1 / 255)(image))
    x = layers.Add()([x, layers.Conv2D(4, 1)(x)])
    x = layers.ReLU(name="map")(layers.Conv2D(6, 1)(x))
    for layer in head:
        x = layer(x)
    return keras.Model(image, x)


def small_pooled():
    return small(layers.GlobalMaxPooling2D(name="pool"), layers.Dense(3)), "pool"


def small_flattened():
    return small(layers.Flatten(), layers.Dense(3)), "map"


def small_without_head():
    return small(), "map"


def shared():
    """One convolution, called twice."""
    image, convolution = keras.Input((8, 8, 3)), layers.Conv2D(3, 3)
    x = layers.GlobalMaxPooling2D(name="pool")(convolution(convolution(image)))
    return keras.Model(image, layers.Dense(2)(x)), "pool"


BUILDS = [shared, nested, adapted, two_poolings, embedding, nested_outputs]
BUILDS += [small_pooled, small_flattened, small_without_head]


@pytest.mark.parametrize("build", BUILDS)
def test_features_are_those_of_the_last_pooling(build):
    model, place = build()
    features, found = feature_extractor(model)
    *sides, channels = model.inputs[0].shape[1:]
    images = RNG.uniform(0, 255, (2, *(side or 24 for side in sides), channels)).astype("float32")
    cut = keras.Model(model.inputs[0], model.get_layer(place).output)
    expected = np.reshape(cut(images, training=False), (2, -1))
    assert found == place
    assert features.input_shape == (None, *sides, channels)
    np.testing.assert_allclose(features(images, training=False), expected, rtol=1e-5, atol=1e-6)
    assert scales_pixels(features) == (build not in (two_poolings, shared))
    # And behind what brings photos to its size, where names of layers must not meet.
    photos = with_resizing(features, (None, None, 3))
    if channels == 3:
        np.testing.assert_allclose(photos(images, training=False), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "head", [[layers.Flatten(), layers.Dense(3)], [], [layers.Reshape((98,)), layers.Dense(3)]]
)
def test_the_mean_of_the_last_map_where_nothing_pools(head):
    body = [keras.Input((16, 16, 3)), layers.Conv2D(2, 3), layers.MaxPooling2D(name="map")]
    model = keras.Sequential([*body, *head])
    features, place = feature_extractor(model)
    images = RNG.uniform(0, 1, (2, 16, 16, 3)).astype("float32")
    maps = keras.Model(model.inputs[0], model.get_layer("map").output)(images)
    assert place == "map"
    np.testing.assert_allclose(features(images), np.mean(maps, (1, 2)), rtol=1e-5, atol=1e-6)


def test_a_class_token_is_taken_as_it_is():
    image = keras.Input((8, 8, 3))
    tokens = layers.Reshape((4, 6))(layers.Conv2D(6, 4, strides=4)(image))
    tokens = layers.LayerNormalization()(tokens + layers.MultiHeadAttention(2, 3)(tokens, tokens))
    model = keras.Model(image, layers.Dense(3)(tokens[:, 0]))
    features, _ = feature_extractor(model)
    images = RNG.uniform(0, 1, (2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(
        features(images), keras.Model(image, tokens)(images)[:, 0], rtol=1e-5, atol=1e-6
    )


def no_features():
    """What has none, and words of the reason."""
    pixels = [layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dense(3)]
    yield keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), *pixels]), "trained"
    table = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    yield table, r"it takes \(any, 8\)"
    image = keras.Input((8, 8, 3))
    mask = layers.Conv2D(1, 1)(layers.Conv2D(4, 3, padding="same")(image))
    yield keras.Model(image, mask), "as large as its images"
    yield keras.Model(image, [mask, mask]), "it has 2 outputs, but one is needed"
    yield keras.Model([image, keras.Input((8, 8, 3))], mask), "it has 2 inputs"
    yield keras.Model(), "subclassed"


def test_weights_that_are_no_numbers_are_named():
    model, _ = two_poolings()
    convolution = next(layer for layer in model.layers if layer.weights)
    convolution.set_weights([np.full(w.shape, np.nan) for w in convolution.get_weights()])
    with pytest.raises(ValueError, match="NaN or infinite in 2 of 2 tensors"):
        feature_extractor(model)


@pytest.mark.parametrize("place", range(6))
def test_a_network_without_features_is_refused_with_the_reason(place):
    model, reason = list(no_features())[place]
    with pytest.raises(ValueError, match=reason):
        feature_extractor(model)


def test_photos_are_scaled_and_cut_to_the_networks_size():
    image = keras.Input((4, 4, 3))
    net = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    photo = np.zeros((1, 8, 16, 3), "float32")
    photo[:, :, 4:12] = [255.0, 51.0, 0.0]  # its middle
    np.testing.assert_allclose(
        with_resizing(net, (None, None, 3), scaling="unit")(photo), [[1, 0.2, 0]], atol=1e-6
    )
    np.testing.assert_allclose(with_resizing(net, (8, 16, 3))(photo), [[255, 51, 0]], rtol=1e-6)
    # Of the size already, and then opened for photos of any size.
    (resize,) = {op for op in with_resizing(net, (4, 4, 3)).operations if hasattr(op, "antialias")}
    np.testing.assert_allclose(resize(photo)[0, 0, 0], photo[0, 0, 4], atol=1e-4)
    image = keras.Input((None, None, 3))
    opened = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    np.testing.assert_allclose(with_resizing(opened, size=(4, 4))(photo), [[255, 51, 0]], rtol=1e-6)
    gray = keras.Sequential([keras.Input((4, 4, 1)), layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match="takes gray"):
        with_resizing(gray, (8, 16, 3), scaling="torch")
