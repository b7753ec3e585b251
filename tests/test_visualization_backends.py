"""Attribution maps are those of TensorFlow on each backend of Keras; as a script, one backend's."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cvcourse import visualization as see

METHODS = {
    "saliency": {},
    "gradient_times_image": {},
    "smooth_grad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "guided_backprop": {},
    "deconvnet": {},
    "grad_cam": {},
    "cam": {},
    "guided_grad_cam": {},
    "fgsm": {"epsilon": 0.5},
    "occlusion": {"patch": 8, "stride": 4},
}


def maps():
    """Return {method: maps} of a small net with fixed weights, and images."""
    rng = np.random.default_rng(0)
    x = keras.Input((24, 20, 3))
    y = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    y = keras.layers.MaxPooling2D(2, padding="same")(y)
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, use_bias=False)(y))
    y = keras.layers.ReLU(6, name="map")(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, keras.layers.Dense(4, activation="softmax")(y))
    draws = [rng.normal(0.1, size=w.shape) for w in model.weights]
    model.set_weights([w if w.ndim > 1 else w**2 for w in draws])
    images = rng.normal(size=(3, 24, 20, 3)).astype("float32")
    found = {
        name: getattr(see, name)(model, images, **settings) for name, settings in METHODS.items()
    }
    found["contrast"] = see.saliency(model, images, 1, contrast=2)
    found["unit"] = see.deconvnet(model, images, layer="map", channel=5)
    for name in ("activations", "codes", "dream_step", "gram"):
        found[name] = getattr(see, name)(model, images, "map")
    found["inversion"] = see.inversion_loss(model, images[:1], images[1:2], "map")[1]
    form = {"steps": 2, "bounds": (-5.0, 5.0)}
    found["class_image"] = see.class_image(model, 1, **form)
    found["dream"] = see.dream(model, images.repeat(2, axis=1), "map", **form)
    found["invert"] = see.invert(model, images, "map", **form)
    layers = {"content_layer": "map", "style_layers": ["map"]}
    found["style_loss"] = see.style_loss(model, images, images + 1, images[:1] * 2, **layers)[1]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    file = tmp_path / "maps.npz"
    subprocess.run(
        [sys.executable, __file__, str(file)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    with np.load(file) as theirs:
        for name, expected in maps().items():
            assert expected.any(), name
            worst = np.abs(theirs[name] - expected).max()
            assert worst <= 1e-4 * np.abs(expected).max(), name


if __name__ == "__main__":
    np.savez(sys.argv[1], **maps())
