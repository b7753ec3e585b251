"""A network of ours with published weights in it, by name or from a file."""

import collections
import dataclasses
import inspect
import os
import pathlib
import warnings

import keras
import numpy as np

from cvcourse.errors import RunError, UsageError, reason
from cvcourse.files import with_suffix
from cvcourse.models.pretrained import catalog, store, tensor_files
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
from cvcourse.models.pretrained.preprocessing import scale
from cvcourse.models.registry import build
from cvcourse.saved_model import read_model
from cvcourse.settings import precision
from cvcourse.state_dict import refuse, shorten

SUFFIXES = {  # usual ones: they tell a path from a tag, no more
    *(".h5", ".hdf5", ".keras", ".npz", ".safetensors", ".json"),
    *(".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl", ".gz", ".onnx", ".tflite", ".pb"),
}
SUFFIX_OF = {False: ".weights.h5", True: ".hdf5"}  # what Keras calls a file of either layout


def load(name, weights="default", **options):
    """Our network `name` with published weights in it: an uncompiled keras.Model.

    The net is in the form that its weights' source gives it. With `num_classes` other than the
    published ones the logits start afresh, and all else is kept.

    Args:
        name: An architecture of ours, or a source's ("timm.seresnet50").
        weights: "default", a tag of the table (`cvcourse models --pretrained`), or the path of a
            file that Keras, torch or safetensors has written, of .npz, or of a shard index. What
            the file contains decides, not its suffix.
        options: Those of `load_published`, such as settings of the builder: they choose a variant
            (width=0.25) or override the source's form.

    Returns:
        keras.Model from prepared pixels to logits.

    Raises:
        ValueError: If a name, tag or setting is not known.
        UsageError: If the licence of the weights forbids commercial use and `allow_noncommercial`
            is not set.
        RunError: If a file cannot be had, is damaged, is of a format that is not read, holds NaN,
            or holds the weights of another net.
    """
    net, _ = load_published(name, weights, **options)
    return net


def load_published(
    name,
    weights="default",
    *,
    source=None,
    num_classes=None,
    weights_dir=None,
    allow_noncommercial=False,
    **settings,
):
    """As `load`, and the `Published` that tells what photos must go through: (net, published).

    A file counts as the published set whose name it bears, or as the first that it fits.
    """
    if is_file(weights):
        path = pathlib.Path(os.path.expanduser(weights))
        rows = catalog.candidates(name, source=source, **settings)
        theirs, published, fresh = _from_file(path, rows)
        _require_licence(published, allow_noncommercial)
    else:
        published = catalog.find(name, weights, source=source, **settings)
        _require_licence(published, allow_noncommercial)
        path = store.fetch(published.address, published.hash, weights_dir)
        theirs, published, fresh = _from_file(path, [published])
    if fresh and num_classes is None:
        raise UsageError(f"{path} holds no classifier: say how many classes yours has, num_classes")
    wanted = published.form | {"aux": False} if "aux" in published.form else published.form
    wanted = wanted | settings | {"num_classes": num_classes or published.classes}
    if wanted == published.form:
        return theirs, published
    net = build(published.architecture, **wanted)
    if wanted["num_classes"] != published.classes:
        fresh = fresh | classifiers(net)
    _copy_by_name(theirs, net, fresh)
    return net, published


def is_file(weights):
    """Whether `weights` is the path of a file rather than a tag.

    It is if it is no tag of the table, and there is such a file, or it has a folder in it or ends
    like a file of weights.
    """
    if isinstance(weights, os.PathLike):
        return True
    if weights in {"default", *(tag for row in catalog.published() for tag in (row.tag, str(row)))}:
        return False
    in_a_folder = os.path.basename(weights) != weights
    suffix = pathlib.PurePath(weights).suffix.lower()
    return in_a_folder or suffix in SUFFIXES or os.path.isfile(weights)


def _require_licence(published, allow_noncommercial):
    if published.noncommercial and not allow_noncommercial:
        raise UsageError(
            f"the weights {published} are for non-commercial use alone (licence "
            f"{published.licence}): choose others, or allow_noncommercial"
        )


def _from_file(path, rows):
    """(net, published, names of the layers that the file lacks), for the first row that fits."""
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
        kind = [row.architecture, row.form, row.scaling]  # all that fitting depends on
        if not isinstance(content, keras.Model):
            kind = [row.architecture, row.variant if content is None else row.form]
        if repr(kind) not in reasons:
            try:
                return _fill(row, path, content)
            except ValueError as error:
                reasons[repr(kind)] = str(error)
    raise RunError(f"{path}: {next(iter(reasons.values()))}")


def _of_source(rows, path, content):
    """Those of the `rows` from whose source a file's content can be."""
    if isinstance(content, keras.Model):
        return rows
    sources = ["keras"]
    if _is_state_dict(content):
        net = build_source(rows[0].network, **rows[0].form)
        sources = recognize(net, content).sources or [rows[0].source]
    found = [row for row in rows if row.source in sources]
    if not found:
        raise RunError(
            f"{path}: its weights are those of {' or '.join(sources)}, and {rows[0].architecture} "
            f"takes those of {' or '.join(dict.fromkeys(row.source for row in rows))}"
        )
    return found


def _is_state_dict(content):
    """Whether a file's content has torch's names, with dots; Keras' have slashes."""
    return isinstance(content, dict) and not any("/" in name for name in content)


def _read(path):
    """What a file holds: {name: array}, a saved keras.Model, or None, which only Keras can read."""
    try:
        kind = tensor_files.find_kind(path)
    except OSError as error:
        raise RunError(f"there is no file {path}: {reason(error)}") from error
    if kind in tensor_files.READERS:
        return tensor_files.read(path)
    return read_model(path) if kind == "keras" else None


def _fill(row, path, content):
    """The net of a row with a file's content in it, as `_from_file`. Raises ValueError."""
    if _is_state_dict(content):
        return _fill_by_name(row, content)
    theirs = content if isinstance(content, keras.Model) else _of_keras(row, path, content)
    net = build_source(row.network, **row.form)
    if len(theirs.output_shape) == 2:
        if len(weighted_layers(theirs)) != len(weighted_layers(net)):
            load_keras(net, theirs)  # which refuses it
        row, net = _with_classes(row, net, theirs.output_shape[-1])
        if theirs is content:
            _require_same(theirs, row)
        return load_keras(net, theirs), row, set()
    body = keras.Model(net.input, net.get_layer("features").output, name=net.name)
    load_keras(body, theirs)
    known = {layer.name for layer in weighted_layers(body)}
    return net, row, {layer.name for layer in weighted_layers(net)} - known


def _fill_by_name(row, tensors):
    """As `_fill`, for a state_dict."""
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


def _require_same(theirs, row):
    """Raise ValueError unless a saved model answers as our net of the row does with its weights.

    Shapes alone do not tell padding, epsilon or preprocessing.
    """
    height, width = (side or row.size for side in theirs.input_shape[1:3])
    shape = (height, width, theirs.input_shape[-1])
    with precision("float32"):  # others would round the answers
        ours = load_keras(build_source(row.network, **row.form | {"input_shape": shape}), theirs)
    image = keras.Input(shape)
    if any(isinstance(layer, APART) for layer in theirs.layers):  # it takes raw pixels
        ours = keras.Model(image, ours(scale(image, row)))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *shape)).astype("float32")
    answers = [np.array(keras.ops.log_softmax(ours(pixels, training=False)))]
    answers.append(np.array(theirs(pixels, training=False)))
    if abs(answers[1].sum() - 1) < 1e-3 and answers[1].min() >= 0:  # probabilities
        answers[0] = np.exp(answers[0])
    else:
        answers[1] = np.array(keras.ops.log_softmax(answers[1]))
    if not np.allclose(*answers, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f"with the same weights it gives other outputs than {row.network}: its padding, "
            "epsilon or preprocessing differ"
        )


def _with_classes(row, net, classes):
    """A row and its net, the net built again where it has another number of classes."""
    if classes == row.classes:
        return row, net
    row = dataclasses.replace(row, classes=classes)
    return row, build_source(row.network, **row.form)


def _of_keras(row, path, tensors):
    """keras.applications' model of a row with the weights of a file, or with `tensors`, in it.

    The shapes of the file's kernels tell whether it has a classifier, and of how many classes.
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
                warnings.simplefilter("ignore")  # about what the error says
                model.load_weights(file)
        except Exception as error:  # whatever a file may hold
            raise ValueError(f"not a file of Keras' weights: {reason(error)}") from error
        return model
    variables = {
        f"{layer.name}/{weight.name}": weight
        for layer in weighted_layers(model)
        for weight in layer.weights
    }
    tensors = {  # Keras 2 called a depthwise kernel so
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
    """keras.applications' model of a row, with random weights."""
    functions = {plain(name): function for name, function in vars(keras.applications).items()}
    function = functions[plain(row.network.split(".")[1])]
    settings = {"input_shape": (row.size, row.size, 3), "classes": row.classes}
    parameters = inspect.signature(function).parameters
    for theirs, ours, usual in (("alpha", "width", 1.0), ("minimalistic", "minimal", False)):
        if theirs in parameters:
            settings[theirs] = row.form.get(ours, usual)
    return function(weights=None, include_top=include_top, **settings)


def _kernels(weights):
    """How many kernels there are of each shape."""
    shapes = (tuple(getattr(weight, "shape", weight)) for weight in weights)
    return collections.Counter(shape for shape in shapes if len(shape) > 1)


def _copy_by_name(source, target, apart):
    """Copy the weights of all layers of `target` but those `apart`. Raises ValueError."""
    layers = {layer.name: layer for layer in weighted_layers(source)}
    wanted = {layer.name: layer for layer in weighted_layers(target) if layer.name not in apart}
    if lacking := wanted.keys() - layers.keys():
        raise ValueError(f"these settings need layers that the weights lack: {shorten(lacking)}")
    for name, ours in wanted.items():
        shapes = [[tuple(w.shape) for w in layer.weights] for layer in (layers[name], ours)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the published weights of {name} have the shapes {shapes[0]}, and these "
                f"settings need {shapes[1]}"
            )
    for name, ours in wanted.items():
        ours.set_weights(layers[name].get_weights())
