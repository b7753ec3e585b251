"""Features: outputs of a network at several depths as vectors, computed once and cached.

Features become more specific to the training task with depth: Yosinski et al., "How transferable
are features in deep neural networks?", NIPS 2014, https://arxiv.org/abs/1411.1792.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import layers

from cvcourse.errors import RunError, reason
from cvcourse.files import cache_folder, replacing, require_regular
from cvcourse.layers import NearestNeighbors

LAST = "last"  # name of the input of the network's own classifier
JOINTS = (layers.Add, layers.Concatenate, layers.MaxPooling2D)
AT_MOST = 4  # depths in addition to the last one
READING = 2  # increased if photos are decoded differently, to invalidate cached features


def depths(net):
    """Find the tensors of a network that a classifier can be attached to.

    Args:
        net: keras.Model that ends in a classifier.

    Returns:
        {name: tensor}, by increasing depth: the outputs of the layers stage1, stage2, …, or if
        there are no such layers, of up to AT_MOST evenly spaced JOINTS; and finally `LAST`, the
        input of the network's own classifier.
    """
    names = [layer.name for layer in net.layers]
    found = [name for name in names if re.fullmatch(r"stage\d+", name)]
    if not found:
        joints = [layer.name for layer in net.layers if isinstance(layer, JOINTS)]
        places = np.linspace(0, len(joints), AT_MOST + 2)[1:-1].astype(int)
        found = [joints[i] for i in dict.fromkeys(places) if i < len(joints)]
    classifier = [layer for layer in net.layers if layer.weights][-1]
    return {name: net.get_layer(name).output for name in found} | {LAST: classifier.input}


def vector(tensor):
    """Average over positions and scale to length 1: (batch, …, c) -> (batch, c) float32.

    At length 1 a linear classifier depends on the direction of the features, not on their strength.

    Args:
        tensor: Feature map (batch, h, w, c), tokens (batch, n, c), or vectors (batch, c).

    Returns:
        Tensor (batch, c).
    """
    exact = {"dtype": "float32"}
    last = {"data_format": "channels_last"}
    if len(tensor.shape) == 4:
        tensor = layers.GlobalAveragePooling2D(**last, **exact)(tensor)
    elif len(tensor.shape) == 3:
        tensor = layers.GlobalAveragePooling1D(**last, **exact)(tensor)
    return layers.UnitNormalization(**exact)(tensor)


def with_classifier(net, tensor, num_classes, probe=None):
    """Attach a classifier, the layer `logits`, to the `vector` of one of a network's tensors.

    Args:
        net: keras.Model.
        tensor: One of its `depths`.
        num_classes: Number of classes.
        probe: Fitted `Probe` whose classifier is used, linear or nearest neighbors. If None, an
            untrained linear layer.

    Returns:
        keras.Model from the network's input to logits (batch, num_classes).
    """
    if probe is None or probe.kernel is not None:
        logits = layers.Dense(num_classes, dtype="float32", name="logits")
    else:
        logits = NearestNeighbors(probe.neighbors, len(probe.labels), num_classes, name="logits")
    model = keras.Model(net.input, logits(vector(tensor)), name=net.name)
    if probe is not None:
        logits.set_weights(probe.weights)
    return model


def stages(model):
    """Group the layers of a model by depth.

    Args:
        model: keras.Model as `with_classifier` returns it.

    Returns:
        A list of lists of layers with weights: those between two of the `depths`, and in the last
        list the classifier.
    """
    names = [layer.name for layer in model.layers]
    ends = [names.index(name) for name in depths(model) if name != LAST]
    *body, classifier = [layer for layer in model.layers if layer.weights]
    parts = [[] for _ in range(len(ends) + 1)]
    for layer in body:
        parts[sum(end < names.index(layer.name) for end in ends)].append(layer)
    return [*(part for part in parts if part), [classifier]]


def for_any_size(model):
    """Return a model with the same layers for raw images of any size: (batch, any, any, c)."""
    photo = keras.Input((None, None, model.input_shape[-1]), name="photo")
    return keras.models.clone_model(model, input_tensors=photo, clone_function=lambda layer: layer)


def features(
    model: keras.Model,
    split: Any,
    stream: Callable[[Any], Iterable],
    *,
    cache_dir: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Compute a model's outputs for every image of a split, or read them from the cache.

    The key of the cache is a hash of the weights, the architecture with its preprocessing, and the
    images. A damaged file is reported on standard error, and its features are computed again.

    Args:
        model: keras.Model from images (batch, h, w, c) to a dict {name: (batch, c)}.
        split: Split of n images.
        stream: Function (split) -> its batches in order.
        cache_dir: Folder of the cache. If None, `features` in the user's cache folder.

    Returns:
        {output's name: float32 array (n, c)}.

    Raises:
        RunError: If the folder cannot be written.

    >>> import tempfile
    >>> import keras
    >>> from cvcourse import data
    >>> digits = data.load("digits", limit=20).train
    >>> x = keras.Input((8, 8, 1))
    >>> model = keras.Model(x, {"pixels": keras.layers.Flatten()(x)})
    >>> def batches(split):
    ...     return data.stream(split, batch_size=10, seed=0, shuffle=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = features(model, digits, batches, cache_dir=folder)
    >>> found["pixels"].shape
    (20, 64)
    """
    folder = pathlib.Path(cache_dir or cache_folder() / "features").expanduser()
    path = folder / f"{_key(model, split)}.npz"
    try:
        require_regular(path)
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except FileNotFoundError:
        pass
    except Exception as error:  # whatever a damaged file raises
        damage = reason(error)
        print(f"damaged features in {path} ({damage}) are computed again", file=sys.stderr)
        with contextlib.suppress(OSError):
            path.unlink()
    found = computed_features(model, len(split), stream(split))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, **found)
    except OSError as error:
        raise RunError(f"cannot write the features to {folder}: {error.strerror}") from error
    return found


def computed_features(model, count, batches):
    """Compute a model's outputs for a stream, without a cache; see `features`.

    Args:
        model: As in `features`.
        count: Number of images; further examples of the stream are padding.
        batches: Batches of the images in order.

    Returns:
        {output's name: float32 array (count, c)}.
    """
    several = [model.predict_on_batch(images) for images, *_ in batches]
    return {
        name: np.concatenate([one[name] for one in several])[:count].astype("float32")
        for name in several[0]
    }


def _key(model, split):
    """Compute a hash of the weights, the architecture and the images."""
    # Layers by position: Keras' automatic names depend on the layers built before.
    operations = [one for one in model.operations if not isinstance(one, layers.Layer)]
    named = (*model._flatten_layers(), *operations)
    places = {one.name: f'"{i}"' for i, one in enumerate(named)}
    config = json.dumps(model.get_config(), sort_keys=True, default=str)
    config = re.sub('"([^"]*)"', lambda found: places.get(found[1], found[0]), config)
    digest = hashlib.sha256(config.encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight))
    images = split.images
    digest.update(repr((READING, images.shape)).encode())
    if isinstance(images, np.ndarray):
        digest.update(np.ascontiguousarray(images))
    else:
        for file in images.files:
            contents = file if images.in_memory else pathlib.Path(os.fsdecode(file)).read_bytes()
            digest.update(hashlib.sha256(contents).digest())
    return digest.hexdigest()[:32]
