"""Build our networks with published weights, by name or from a file."""

import collections
import dataclasses
import inspect
import os
import pathlib
import warnings
from typing import Any

import keras
import numpy as np

from cvcourse.errors import RunError, UsageError, reason
from cvcourse.files import with_suffix
from cvcourse.models.pretrained import catalog, store, tensor_files
from cvcourse.models.pretrained._raw_pixels import warn_of_raw_pixels
from cvcourse.models.pretrained.fitting import (
    APART,
    AUXILIARY,
    build_source,
    classifiers,
    load_keras,
    load_state_dict,
    plain,
    recognize,
    weighted_layers,
)
from cvcourse.models.pretrained.misfit import OTHER_DEPTH, OTHER_NETWORK
from cvcourse.models.pretrained.preprocessing import scale, with_preprocessing
from cvcourse.models.registry import build
from cvcourse.saved_model import read_model
from cvcourse.settings import precision
from cvcourse.state_dict import refuse, shorten

SUFFIXES = {  # common ones; used only to distinguish a path from a tag
    *(".h5", ".hdf5", ".keras", ".npz", ".safetensors", ".json"),
    *(".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl", ".gz", ".onnx", ".tflite", ".pb"),
}
SUFFIX_OF = {False: ".weights.h5", True: ".hdf5"}  # that Keras needs for either layout


def load(
    name: str,
    weights: str | os.PathLike = "default",
    *,
    source: str | None = None,
    num_classes: int | None = None,
    preprocessing: bool = True,
    weights_dir: str | os.PathLike | None = None,
    allow_noncommercial: bool = False,
    **settings: Any,
) -> keras.Model:
    """Build a network with published weights: a model of raw photos.

    The network has the form of its weights' source (padding, epsilon, place of the strides). Each
    of its layers is a layer of the model, such as `model.get_layer("stage3")`. A process that reads
    the saved model needs `import cvcourse.layers`.

    Args:
        name: An architecture of `models.REGISTRY`, or a source's network ("timm.seresnet50").
        weights: "default", a tag (`cvcourse models --pretrained` lists them), or the path of a
            file: Keras, torch, safetensors, .npz, or the index of shards. The file's contents
            decide, not its suffix.
        source: "torchvision", "keras", "timm" or "efficientnet_pytorch". If None, the first of
            these that has weights of the network.
        num_classes: Number of classes. If it differs from that of the weights, the layer `logits`
            has random weights and all others have the published ones. If None, the published
            classes: `models.features(model)` returns a model without them.
        preprocessing: Whether the model begins with the preprocessing of its weights (resizing,
            center crop, scaling). If False, it takes preprocessed pixels, and warns once when it
            receives larger ones in an array or tensor (a dataset's batches are not checked).
        weights_dir: Folder that is searched for weights first, and downloaded to.
        allow_noncommercial: Whether to load weights whose license forbids commercial use.
        **settings: Arguments of the builder. They choose a variant (width=0.25), override the
            source's form, or set the size that the network sees (input_shape=(160, 160, 3)).

    Returns:
        An uncompiled keras.Model: RGB photos (batch, any, any, 3), 0..255, one size per batch ->
        logits (batch, num_classes). With `preprocessing=False`, preprocessed pixels (batch, size,
        size, 3) -> logits.

    Raises:
        ValueError: If a name, tag or setting is unknown, or `input_shape` is not a square.
        UsageError: If the license of the weights forbids commercial use and `allow_noncommercial`
            is False, or a file without a classifier needs `num_classes`.
        RunError: If a file cannot be found, downloaded or read, is damaged, contains NaN, or has
            the weights of another network.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:  # a file in place of a download
    ...     path = os.path.join(folder, "net.weights.h5")
    ...     keras.applications.MobileNet(alpha=0.25, weights=None).save_weights(path)
    ...     model = load("mobilenet", path, width=0.25, num_classes=37)
    >>> for layer in model.layers:  # train the new layer alone
    ...     layer.trainable = layer.name == "logits"
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> model.predict(np.zeros((2, 50, 40, 3)), verbose=0).shape
    (2, 37)
    """
    net, published = load_published(
        name,
        weights,
        source=source,
        num_classes=num_classes,
        weights_dir=weights_dir,
        allow_noncommercial=allow_noncommercial,
        **settings,
    )
    return (
        with_preprocessing(net, published) if preprocessing else warn_of_raw_pixels(net, published)
    )


def load_published(
    name: str,
    weights: str | os.PathLike = "default",
    *,
    source: str | None = None,
    num_classes: int | None = None,
    weights_dir: str | os.PathLike | None = None,
    allow_noncommercial: bool = False,
    **settings: Any,
) -> tuple[keras.Model, catalog.Published]:
    """Build a network with published weights, and return it with a description of the weights.

    A file is taken for the published set with its file name, else for the first set that it fits.

    Args:
        name: As in `load`.
        weights: As in `load`.
        source: As in `load`.
        num_classes: As in `load`.
        weights_dir: As in `load`.
        allow_noncommercial: As in `load`.
        **settings: As in `load`.

    Returns:
        A pair: the network without preprocessing, a keras.Model from preprocessed pixels (batch,
        size, size, 3) to logits; and the `Published` of its weights, for `with_preprocessing`.

    Raises:
        ValueError, UsageError, RunError: As `load`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:  # a file in place of a download
    ...     path = os.path.join(folder, "net.weights.h5")
    ...     keras.applications.MobileNet(alpha=0.25, weights=None).save_weights(path)
    ...     net, published = load_published("mobilenet", path, width=0.25)
    >>> net.output_shape, published.scaling
    ((None, 1000), 'tf')
    """
    settings = catalog.known_settings(name, settings)
    if weights not in (None, True, False) and is_file(weights):
        path = pathlib.Path(os.path.expanduser(weights))
        rows = catalog.candidates(name, source=source, **settings)
        loaded, published, fresh = _from_file(path, rows)
        _require_license(published, allow_noncommercial)
    else:
        published = catalog.find(name, weights, source=source, **settings)
        _require_license(published, allow_noncommercial)
        path = store.fetch(published.address, published.hash, weights_dir)
        loaded, published, fresh = _from_file(path, [published])
    if fresh and num_classes is None:
        raise UsageError(f"{path} has no classifier: set num_classes, your number of classes")
    wanted = published.form | {"aux": False} if "aux" in published.form else published.form
    classes = published.classes if num_classes is None else num_classes
    wanted = wanted | settings | {"num_classes": classes}
    if wanted == published.form:
        return loaded, published
    net = build(published.architecture, **wanted)
    if classes != published.classes:
        fresh = fresh | classifiers(net)
    _copy_by_name(loaded, net, fresh)
    return net, published


def is_file(weights: str | os.PathLike) -> bool:
    """Check whether `weights` is the path of a file rather than a tag.

    It is a path if it is not a tag of the table and such a file exists, it contains a folder, or it
    ends in a suffix of weights.

    Args:
        weights: As in `load`.

    Returns:
        True for a path.

    >>> is_file("IMAGENET1K_V2"), is_file("mine.pth"), is_file("folder/mine")
    (False, True, True)
    """
    if isinstance(weights, os.PathLike):
        return True
    if weights in {"default", *(tag for row in catalog.published() for tag in (row.tag, str(row)))}:
        return False
    in_a_folder = os.path.basename(weights) != weights
    suffix = pathlib.PurePath(weights).suffix.lower()
    return in_a_folder or suffix in SUFFIXES or os.path.isfile(weights)


def _require_license(published, allow_noncommercial):
    """Raise UsageError for weights that are not for commercial use, unless they are allowed."""
    if published.noncommercial and not allow_noncommercial:
        raise UsageError(
            f"the weights {published} are for non-commercial use only (license "
            f"{published.licence}): choose others, or set allow_noncommercial"
        )


def _from_file(path, rows):
    """Load a file into the net of the first row that fits: (net, published, missing layers)."""
    content = _read(path)
    networks = {row.architecture for row in rows}
    called_so = [
        row
        for row in catalog.published()
        if row.architecture in networks and store.file_name(row.address) == path.name
    ]
    reasons = {}
    for row in _of_source(called_so or rows, path, content):
        if path.name != store.file_name(row.address):
            row = dataclasses.replace(row, tag=path.name, address=str(path), hash="", licence="")
        kind = [row.architecture, row.form, row.scaling]  # fitting depends on nothing else
        if not isinstance(content, keras.Model):
            kind = [row.architecture, row.variant if content is None else row.form]
        if repr(kind) not in reasons:
            try:
                return _fill(row, path, content)
            except ValueError as error:
                reasons[repr(kind)] = str(error)
    raise RunError(f"{path}: {next(iter(reasons.values()))}")


def _of_source(rows, path, content):
    """Select the rows whose source can have written the content of a file."""
    if isinstance(content, keras.Model):
        return rows
    sources = ["keras"]
    if _is_state_dict(content):
        net = build_source(rows[0].network, **rows[0].form)
        sources = recognize(net, content).sources or [rows[0].source]
    found = [row for row in rows if row.source in sources]
    if not found:
        raise RunError(
            f"{path}: its weights are from {' or '.join(sources)}, but for {rows[0].architecture} "
            f"they must be from {' or '.join(dict.fromkeys(row.source for row in rows))}"
        )
    return found


def _is_state_dict(content):
    """Check whether the content of a file has torch's names, with dots; Keras' have slashes."""
    return isinstance(content, dict) and not any("/" in name for name in content)


def _read(path):
    """Read a file: {name: array}, a saved keras.Model, or None if Keras must load the weights."""
    try:
        kind = tensor_files.find_kind(path)
    except OSError as error:
        raise RunError(f"there is no file {path}: {reason(error)}") from error
    if kind in tensor_files.READERS:
        return tensor_files.read(path)
    return read_model(path) if kind == "keras" else None


def _fill(row, path, content):
    """Load the content of a file into the net of a row, as `_from_file`. Raises ValueError."""
    if _is_state_dict(content):
        return _fill_by_name(row, content)
    source = content if isinstance(content, keras.Model) else _of_keras(row, path, content)
    net = build_source(row.network, **row.form)
    if len(source.output_shape) == 2:
        if len(weighted_layers(source)) != len(weighted_layers(net)):
            load_keras(net, source)  # raises the error
        row, net = _with_classes(row, net, source.output_shape[-1])
        if source is content:
            _require_same(source, row)
        return load_keras(net, source), row, set()
    body = keras.Model(net.input, net.get_layer("features").output, name=net.name)
    load_keras(body, source)
    known = {layer.name for layer in weighted_layers(body)}
    return net, row, {layer.name for layer in weighted_layers(net)} - known


def _fill_by_name(row, tensors):
    """Load a state_dict into the net of a row, as `_fill`."""
    form = row.form
    net = build_source(row.network, **form)
    reading = recognize(net, tensors)
    if form.get("aux") and not any(map(AUXILIARY.match, reading.tensors)):
        form |= {"aux": False}
        net = build_source(row.network, **form)
    bias = reading.tensors.get(reading.names.get(f"{sorted(classifiers(net))[-1]}.bias"))
    if bias is not None and bias.size != row.classes:
        row = dataclasses.replace(row, classes=bias.size)
        net = build_source(row.network, **form | {"num_classes": bias.size})
    return load_state_dict(net, tensors), row, set()


def _require_same(saved, row):
    """Raise ValueError unless a saved model and our net of the row have equal outputs.

    Even if all shapes are equal, padding, epsilon or preprocessing may differ.
    """
    height, width = (side or row.size for side in saved.input_shape[1:3])
    shape = (height, width, saved.input_shape[-1])
    with precision("float32"):  # other policies would round the outputs
        ours = load_keras(build_source(row.network, **row.form | {"input_shape": shape}), saved)
    image = keras.Input(shape)
    if any(isinstance(layer, APART) for layer in saved.layers):  # it takes raw pixels
        ours = keras.Model(image, ours(scale(image, row)))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *shape)).astype("float32")
    outputs = [np.array(keras.ops.log_softmax(ours(pixels, training=False)))]
    outputs.append(np.array(saved(pixels, training=False)))
    if abs(outputs[1].sum() - 1) < 1e-3 and outputs[1].min() >= 0:  # probabilities
        outputs[0] = np.exp(outputs[0])
    else:
        outputs[1] = np.array(keras.ops.log_softmax(outputs[1]))
    if not np.allclose(*outputs, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f"with the same weights its outputs differ from those of {row.network}: its padding, "
            "epsilon or preprocessing is different"
        )


def _with_classes(row, net, classes):
    """Return a row and its net for a number of classes; the net is built again if it differs."""
    if classes == row.classes:
        return row, net
    row = dataclasses.replace(row, classes=classes)
    return row, build_source(row.network, **row.form)


def _of_keras(row, path, tensors):
    """Build the model of keras.applications of a row, with the weights of a file or `tensors`.

    Whether the file has a classifier, and its number of classes, follow from the shapes of its
    kernels.
    """
    if tensors is None:
        shapes, legacy = tensor_files.hdf5_shapes(path)
    else:
        shapes = [array.shape for array in tensors.values()]
    held = _kernels(shapes)
    model = _application(row)
    needed = whole = _kernels(model.weights)
    if held != needed:
        model = _application(row, include_top=False)
        needed = _kernels(model.weights)
    missing, extra = [*(whole - held).elements()], [*(held - whole).elements()]
    if held != needed and len(missing) == len(extra) == 1 and missing[0][:-1] == extra[0][:-1]:
        model = _application(dataclasses.replace(row, classes=extra[0][-1]))
        needed = _kernels(model.weights)
    if held != needed:
        refuse(
            row.architecture,
            OTHER_DEPTH if 2 * (held & whole).total() > whole.total() else OTHER_NETWORK,
            missing={*map(str, missing)},
            extra={*map(str, extra)},
        )
    if tensors is None:
        try:
            with warnings.catch_warnings(), with_suffix(path, SUFFIX_OF[legacy]) as file:
                warnings.simplefilter("ignore")  # the error reports the same
                model.load_weights(file)
        except Exception as error:  # whatever a file may hold
            raise ValueError(f"not a file of Keras' weights: {reason(error)}") from error
        return model
    variables = {
        f"{layer.name}/{weight.name}": weight
        for layer in weighted_layers(model)
        for weight in layer.weights
    }
    tensors = {  # Keras 2 named depthwise kernels differently
        name if name in variables else name.replace("/depthwise_", "/"): array
        for name, array in tensors.items()
    }
    refuse(
        row.architecture,
        missing=variables.keys() - tensors.keys(),
        extra=tensors.keys() - variables.keys(),
        misshaped=[
            f"{name} {tensors[name].shape} for {variable.shape}"
            for name, variable in variables.items()
            if name in tensors and variable.shape != tensors[name].shape
        ],
    )
    for name, variable in variables.items():
        variable.assign(tensors[name])
    return model


def _application(row, include_top=True):
    """Build the model of keras.applications of a row, with random weights."""
    functions = {plain(name): function for name, function in vars(keras.applications).items()}
    function = functions[plain(row.network.split(".")[1])]
    settings = {"input_shape": (row.size, row.size, 3), "classes": row.classes}
    parameters = inspect.signature(function).parameters
    for argument, ours, default in (("alpha", "width", 1.0), ("minimalistic", "minimal", False)):
        if argument in parameters:
            settings[argument] = row.form.get(ours, default)
    return function(weights=None, include_top=include_top, **settings)


def _kernels(weights):
    """Count the kernels of each shape."""
    shapes = (tuple(getattr(weight, "shape", weight)) for weight in weights)
    return collections.Counter(shape for shape in shapes if len(shape) > 1)


def _copy_by_name(source, target, apart):
    """Copy the weights of all layers of `target` except `apart`. Raises ValueError."""
    layers = {layer.name: layer for layer in weighted_layers(source)}
    wanted = {layer.name: layer for layer in weighted_layers(target) if layer.name not in apart}
    if lacking := wanted.keys() - layers.keys():
        raise ValueError(f"these settings need layers that the weights lack: {shorten(lacking)}")
    for name, ours in wanted.items():
        shapes = [[tuple(w.shape) for w in layer.weights] for layer in (layers[name], ours)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the published weights of {name} have the shapes {shapes[0]}, but these "
                f"settings need {shapes[1]}"
            )
    for name, ours in wanted.items():
        ours.set_weights(layers[name].get_weights())
