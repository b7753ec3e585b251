"""What a network makes of images on its way to the classes: vectors, computed once and kept.

How features grow from general to special with depth: Yosinski et al., "How transferable are
features in deep neural networks?", NIPS 2014, https://arxiv.org/abs/1411.1792.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import sys

import keras
import numpy as np
from keras import layers

from cvcourse.errors import RunError, reason
from cvcourse.files import cache_folder, replacing, require_regular
from cvcourse.layers import NearestNeighbors

LAST = "last"  # the name of what the network's own classifier sees
JOINTS = (layers.Add, layers.Concatenate, layers.MaxPooling2D)
AT_MOST = 4  # depths beside the last one
READING = 2  # raised when photos are read otherwise, so that features kept before are not used


def depths(net):
    """{name: tensor} of a network's outputs at growing depth; `LAST` is what its classifier sees.

    The stages, where a network has such, or else as many joints, evenly spaced.
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
    """The mean over places of a map, or over tokens, scaled to length 1: (batch, ..., c) -> same c.

    At length 1 a linear classifier goes by what an image shows, not by how strongly.
    """
    exact = {"dtype": "float32"}
    last = {"data_format": "channels_last"}
    if len(tensor.shape) == 4:
        tensor = layers.GlobalAveragePooling2D(**last, **exact)(tensor)
    elif len(tensor.shape) == 3:
        tensor = layers.GlobalAveragePooling1D(**last, **exact)(tensor)
    return layers.UnitNormalization(**exact)(tensor)


def with_classifier(net, tensor, num_classes, probe=None):
    """`net` up to one of its tensors, and a classifier `logits` of its `vector`.

    A linear one, untrained or with a fitted Probe's weights; or the nearest neighbors of a Probe.
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
    """The layers with weights of a model `with_classifier`, by depth: a list of lists.

    Each holds what lies between two of `depths`; the last one the classifier alone.
    """
    names = [layer.name for layer in model.layers]
    ends = [names.index(name) for name in depths(model) if name != LAST]
    *body, classifier = [layer for layer in model.layers if layer.weights]
    parts = [[] for _ in range(len(ends) + 1)]
    for layer in body:
        parts[sum(end < names.index(layer.name) for end in ends)].append(layer)
    return [*(part for part in parts if part), [classifier]]


def for_any_size(model):
    """The same model, with the same layers, for raw images of any size: (batch, any, any, c)."""
    photo = keras.Input((None, None, model.input_shape[-1]), name="photo")
    return keras.models.clone_model(model, input_tensors=photo, clone_function=lambda layer: layer)


def features(model, split, stream, *, cache_dir=None):
    """`model`'s outputs for every image of `split`: {output's name: (n, c) float32}.

    `stream` makes a split's evaluation stream and `model` has a dict of outputs. They are kept in
    `cache_dir`, or in the user's cache, under a hash of the weights, the architecture with its
    preprocessing, and the data; what is there already is read, and a damaged file is reported on
    standard error and computed again. Raises RunError where the folder
    cannot be written.
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
        print(f"the features in {path} are damaged ({damage}): computed again", file=sys.stderr)
        with contextlib.suppress(OSError):
            path.unlink()
    found = computed_features(model, len(split), stream(split))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, **found)
    except OSError as error:
        raise RunError(f"cannot keep the features in {folder}: {error.strerror}") from error
    return found


def computed_features(model, count, batches):
    """The first `count` of a model's outputs for a stream, and nothing kept; see `features`."""
    several = [model.predict_on_batch(images) for images, *_ in batches]
    return {
        name: np.concatenate([one[name] for one in several])[:count].astype("float32")
        for name in several[0]
    }


def _key(model, split):
    """A text that differs where weights, architecture or images differ."""
    # By their places: the names that Keras gives depend on what was built before in this process.
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
