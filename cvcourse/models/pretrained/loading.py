"""A network of ours with published weights in it, by name or from a file."""

import dataclasses
import inspect
import pathlib
import warnings

import keras
import numpy as np

from cvcourse.errors import RunError, UsageError, reason
from cvcourse.files import require_regular
from cvcourse.models.pretrained import catalog, store, tensor_files
from cvcourse.models.pretrained.fitting import (
    APART,
    build_source,
    load_keras,
    load_state_dict,
    naming,
    plain,
    weighted_layers,
)
from cvcourse.models.pretrained.preprocessing import scale
from cvcourse.models.registry import build
from cvcourse.saved_model import read_model

KERAS_FILES = (".h5", ".keras")
NO_TOP = ("no_top", "notop")  # in the names of Keras' files without a classifier


def load(name, weights="default", **options):
    """Our network `name` with published weights in it: an uncompiled keras.Model.

    `name` is an architecture of ours or a source's ("timm.seresnet50"). `weights` is "default", a
    tag of the table (`cvcourse models --pretrained`), or the path of a .h5, .keras, .npz,
    .safetensors or .pth file. The net is in the form that its weights' source gives it; `settings`
    of its builder choose a variant (width=0.25) or override that form. With `num_classes` other
    than the published ones the logits start afresh, and all else is kept. `options` are those of
    `load_published`.

    Raises ValueError for a name, tag or setting that is not known, UsageError for weights whose
    licence forbids commercial use unless `allow_noncommercial`, and RunError for a file that
    cannot be had, is damaged, or holds the weights of another net.
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
        path = pathlib.Path(weights).expanduser()
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
        fresh = fresh | _classifiers(net)
    _copy_by_name(theirs, net, fresh)
    return net, published


def is_file(weights):
    """Whether `weights` is the path of a file rather than a tag."""
    return pathlib.Path(weights).suffix in {*KERAS_FILES, *tensor_files.READERS}


def _require_licence(published, allow_noncommercial):
    if published.noncommercial and not allow_noncommercial:
        raise UsageError(
            f"the weights {published} are for non-commercial use alone (licence "
            f"{published.licence}): choose others, or allow_noncommercial"
        )


def _from_file(path, rows):
    """(net, published, names of the layers that the file lacks), for the first row that fits."""
    try:
        require_regular(path)
    except OSError as error:
        raise RunError(f"there is no file {path}: {reason(error)}") from error
    content = _read(path)
    reasons = []
    networks = {row.architecture for row in rows}
    called_so = [
        row
        for row in catalog.published()
        if row.architecture in networks and store.file_name(row.address) == path.name
    ]
    for row in called_so or rows:
        if path.name != store.file_name(row.address):
            row = dataclasses.replace(row, tag=path.name, address=str(path), hash="", licence="")
        try:
            return _fill(row, path, content)
        except ValueError as error:
            reasons.append(str(error))
    raise RunError(f"{path}: {reasons[0]}")


def _read(path):
    """What a file holds: {name: array}, a saved keras.Model, or None, which only Keras can read."""
    if path.suffix in tensor_files.READERS:
        return tensor_files.read(path)
    if path.suffix == ".h5":
        return None
    return read_model(path)


def _fill(row, path, content):
    """The net of a row with a file's content in it, as `_from_file`. Raises ValueError."""
    net = build_source(row.network, **row.form)
    if isinstance(content, dict) and not any("/" in name for name in content):  # torch has dots
        sources, names = naming(net, content)
        if row.source not in sources:
            raise ValueError(f"its names are those of {' and '.join(sources)}, not {row.source}'s")
        bias = content.get(names.get(f"{sorted(_classifiers(net))[-1]}.bias"))
        row, net = _with_classes(row, net, row.classes if bias is None else bias.size)
        return load_state_dict(net, content), row, set()
    theirs = content if isinstance(content, keras.Model) else _of_keras(row, path, content)
    if len(theirs.output_shape) == 2:
        row, net = _with_classes(row, net, theirs.output_shape[-1])
        if theirs is content:
            _require_same(theirs, row)
        return load_keras(net, theirs), row, set()
    body = keras.Model(net.input, net.get_layer("features").output, name=net.name)
    load_keras(body, theirs)
    known = {layer.name for layer in weighted_layers(body)}
    return net, row, {layer.name for layer in weighted_layers(net)} - known


def _require_same(theirs, row):
    """Raise ValueError unless a saved model answers as our net of the row does with its weights.

    Shapes alone do not tell padding, epsilon or preprocessing.
    """
    height, width = (side or row.size for side in theirs.input_shape[1:3])
    shape = (height, width, theirs.input_shape[-1])
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


def _classifiers(net):
    """The names of the layers with a weight a class: the logits, also of auxiliary heads."""
    names = [layer.name for layer in weighted_layers(net)]
    return {name for name in names if "logits" in name} or {names[-1]}


def _with_classes(row, net, classes):
    """A row and its net, the net built again where it has another number of classes."""
    if classes == row.classes:
        return row, net
    row = dataclasses.replace(row, classes=classes)
    return row, build_source(row.network, **row.form)


def _of_keras(row, path, tensors):
    """keras.applications' model of a row with the weights of a file, or with `tensors`, in it."""
    functions = {plain(name): function for name, function in vars(keras.applications).items()}
    if row.source != "keras":
        raise ValueError(f"it holds Keras' weights, and {row} are not")
    function = functions[plain(row.network.split(".")[1])]
    settings = {"input_shape": (row.size, row.size, 3), "classes": row.classes}
    parameters = inspect.signature(function).parameters
    for theirs, ours, usual in (("alpha", "width", 1.0), ("minimalistic", "minimal", False)):
        if theirs in parameters:
            settings[theirs] = row.form.get(ours, usual)
    top = not any(mark in path.name for mark in NO_TOP)
    model = function(weights=None, include_top=top, **settings)
    if tensors is None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what the error says
                model.load_weights(path)
        except Exception as error:  # whatever a file may hold
            raise ValueError(f"not a file of Keras' weights: {reason(error)}") from error
        return model
    variables = {
        f"{layer.name}/{weight.name}": weight
        for layer in weighted_layers(model)
        for weight in layer.weights
    }
    if variables.keys() != tensors.keys():
        names = sorted(variables.keys() ^ tensors.keys())
        raise ValueError(f"missing or extra: {', '.join(names)}")
    for name, variable in variables.items():
        if variable.shape != tensors[name].shape:
            raise ValueError(f"misshaped: {name} {tensors[name].shape} for {variable.shape}")
        variable.assign(tensors[name])
    return model


def _copy_by_name(source, target, apart):
    """Copy the weights of all layers of `target` but those `apart`. Raises ValueError."""
    pairs = [
        (source.get_layer(layer.name), layer)
        for layer in weighted_layers(target)
        if layer.name not in apart
    ]
    for theirs, ours in pairs:
        shapes = [[tuple(w.shape) for w in layer.weights] for layer in (theirs, ours)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the published weights of {ours.name} have the shapes {shapes[0]}, and these "
                f"settings need {shapes[1]}"
            )
    for theirs, ours in pairs:
        ours.set_weights(theirs.get_weights())
