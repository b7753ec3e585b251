"""Load a trained classifier: published weights, a run directory, a .keras or .cvz file; photos.

A `Classifier` also has what an evaluation on a dataset needs: the names of its classes and the
config of the run that trained it.
"""

import collections
import dataclasses
import difflib
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cvcourse import source_file
from cvcourse.errors import RunError, UsageError
from cvcourse.files import read_json
from cvcourse.saved_model import is_saved_model

MODELS = ("model.keras", "ensemble.keras")  # in a run directory
EXPORTED = (".tflite", ".onnx", ".xml")  # and the folder of a SavedModel
SHOWN = 5  # names of classes in an error


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model from raw images (0..255) to logits or probabilities, with its class names and run.

    Attributes:
        model: keras.Model (batch, h, w, c) -> (batch, classes).
        class_names: Names of the classes, all different; None if the file has none.
        spellings: For each class, the names that a dataset may have for it.
        source: Path of the file, or name of the published weights.
        run: Fields of the config.json beside the file; empty if there is none.
        folder: Folder of the file; None for published weights.
    """

    model: Any
    class_names: tuple[str, ...] | None
    spellings: tuple[tuple[str, ...], ...]
    source: str
    run: dict = dataclasses.field(default_factory=dict)
    folder: pathlib.Path | None = None

    def __repr__(self) -> str:
        shape, classes = self.model.input_shape[1:], self.model.output_shape[-1]
        return f"Classifier({self.source!r}, input_shape={shape}, classes={classes})"

    @property
    def title(self) -> str:
        """Short name of the run directory, the file or the weights."""
        if self.folder is None:
            return self.source
        path = pathlib.Path(self.source)
        return self.folder.resolve().name if path.name in MODELS else path.stem

    def columns(self, names: Sequence[str]) -> tuple[list[int], str]:
        """Find the outputs that correspond to the classes of a dataset.

        Names are compared exactly, then ignoring case, spaces, hyphens and underscores. If the
        class names of the model or the dataset are numbers, classes are matched by number.

        Args:
            names: Names of the dataset's classes.

        Returns:
            A pair: a list of the output index of each name, and a sentence about how the names were
            matched, empty if all are equal.

        Raises:
            ValueError: If a class matches no output of the model, or more than one.
        """
        known = self.class_names or ()
        exact = _places(self.spellings, str)
        if all(len(exact[name]) == 1 for name in names):
            return [exact[name][0] for name in names], ""
        similar = _places(self.spellings, _simplified)
        found = [exact[name] or similar[_simplified(name)] for name in names]
        if all(len(places) == 1 for places in found):
            return [place for (place,) in found], "Classes are matched by similar spelling."
        outputs = len(self.spellings)
        numbered = _are_numbers(names) and len(names) <= outputs
        if numbered or (_are_numbers(known) and len(names) == outputs):
            columns = list(map(int, names) if numbered else range(outputs))
            first = f"{names[0]} of the dataset is {known[columns[0]]} of the model"
            return columns, f"Classes are matched by number: {first}."
        for name, places in zip(names, found, strict=True):
            if len(places) > 1:
                several = " and ".join(" or ".join(self.spellings[place]) for place in places)
                raise ValueError(
                    f"the dataset's class {name!r} matches several classes of the model: {several}"
                )
        unknown = [name for name, places in zip(names, found, strict=True) if not places]
        raise ValueError(
            f"the model does not know the classes {_listed(unknown)}; it knows {_listed(known)}"
        )

    def column(self, name: str) -> int:
        """Find the output of a class.

        Args:
            name: Name of the class, compared as in `columns`, or its number if the classes have no
                names.

        Returns:
            Index of the output.

        Raises:
            ValueError: If there is no such class, or several; the message has the nearest names.
        """
        names = self.class_names or [*map(str, range(self.model.output_shape[-1]))]
        spellings = self.spellings or [(one,) for one in names]
        found = _places(spellings, str)[name] or _places(spellings, _simplified)[_simplified(name)]
        if len(found) == 1:
            return found[0]
        if found:
            several = " and ".join(names[place] for place in found)
            raise ValueError(f"several classes of the model are named {name!r}: {several}")
        simple = {_simplified(one): one for one in reversed(names)}
        near = difflib.get_close_matches(_simplified(name), simple, n=SHOWN, cutoff=0.0)
        nearest = ", ".join(simple[one] for one in near)
        raise ValueError(f"the model has no class {name!r}; the nearest names are {nearest}")


def load(
    name: str,
    weights: str = "default",
    *,
    weights_dir: str | None = None,
    allow_noncommercial: bool = False,
    named: bool = True,
    exported: bool = False,
    **settings: Any,
) -> Classifier:
    """Load a classifier of photos.

    Args:
        name: A run directory, a .keras or .cvz file, or a network with published weights.
        weights: As in `pretrained.load`.
        weights_dir: As in `pretrained.load`.
        allow_noncommercial: As in `pretrained.load`.
        named: Whether a file must contain the names of its classes.
        exported: Whether `name` may also be a file of `cvcourse export`, whose model has no layers.
        **settings: Arguments of the network's builder.

    Returns:
        A Classifier.

    Raises:
        ValueError, UsageError: If a name or argument is unknown, a directory has no model, or the
            source file of a user-defined builder has changed since the run.
        RunError: If a file is damaged, or is not a classifier of images.
    """
    from cvcourse import models
    from cvcourse.compression.compressed_file import is_compressed

    path = pathlib.Path(os.path.expanduser(name))
    is_run = path.is_dir() and name not in models.REGISTRY
    is_exported = path.suffix in EXPORTED or (path / "saved_model.pb").is_file()
    is_file = path.suffix == ".keras" or is_saved_model(path) or is_compressed(path)
    if is_run or is_file or is_exported:
        if weights != "default" or settings:
            raise UsageError(
                f"--weights and --model_args are for published weights, but {name} is a saved model"
            )
        if is_exported and not exported:
            raise UsageError(
                f"{name} is an exported network, which `classify` and `evaluate` run; its layers "
                "are in the .keras file of its source"
            )
        return _from_file(_model_in(path) if is_run and not is_exported else path, named)
    if os.sep in name:
        raise UsageError(f"{name} is neither a run's directory nor a .keras or .cvz file")
    return _published(name, weights, weights_dir, allow_noncommercial, settings)


def of(config: Any, *, named: bool = True, exported: bool = False) -> Classifier:
    """Load the classifier of a recipe's config.

    Args:
        config: A config with the fields `model`, `weights`, `weights_dir`, `allow_noncommercial`
            and `model_args`.
        named: As in `load`.
        exported: As in `load`.

    Returns:
        A Classifier.

    Raises:
        ValueError, UsageError, RunError: As `load`.
    """
    return load(
        config.model,
        config.weights,
        weights_dir=config.weights_dir,
        allow_noncommercial=config.allow_noncommercial,
        named=named,
        exported=exported,
        **config.model_args,
    )


def resizing(model: Any) -> dict[str, Any] | None:
    """Find how a model for images of any size resizes its input.

    Args:
        model: keras.Model.

    Returns:
        Arguments of `Dataset.resized`: side, interpolation and crop. None if the model has a fixed
        input size, or does not first resize images to a square with antialiasing.
    """
    if None not in model.input_shape[1:3]:
        return None
    for operation in getattr(model, "operations", ()):
        if getattr(operation, "weights", None) and type(operation).__name__ != "Normalization":
            return None
        if type(operation).__name__ == "Resize":  # keras.ops.image.resize
            height, width = operation.size
            if height != width or not operation.antialias:
                return None
            return dict(
                side=height,
                interpolation=operation.interpolation,
                crop=operation.crop_to_aspect_ratio,
            )
    return None


def without_resizing(model: Any) -> tuple[Callable[[Any], Any], Any]:
    """Split a model of photos of any size after the layers that resize and crop them.

    Args:
        model: keras.Model from photos (batch, h, w, c), 0..255.

    Returns:
        A pair: function from a photo (h, w, c) to the float32 pixels that the network sees, 0..255,
        and keras.Model from batches of these to the outputs of `model`, with its layers. A model of
        a fixed input size, or that does not begin by resizing photos, is returned itself.
    """
    import keras
    import numpy as np

    from cvcourse.layers.resizing import resized_pixels

    pixels = resized_pixels(model)
    if pixels is None:
        return lambda photo: photo.astype("float32"), model
    resize = keras.Model(model.input, pixels)
    net = keras.Model(pixels, model.output, name=model.name)
    return lambda photo: np.array(resize(photo[None].astype("float32")))[0], net


def photo_files(names: Sequence[str]) -> list[str]:
    """List photos; the notes about folders are printed on standard error.

    Args:
        names: Image files, and folders, whose images are listed in the order of their paths, with
            those of subfolders.

    Returns:
        Paths.

    Raises:
        RunError: If there is no photo.
    """
    from cvcourse import data

    found: list[str] = []
    for name in names:
        path = os.path.expanduser(name)
        if os.path.isdir(path):
            files, note = data.photos(path)
            note = note or ("" if files else "no image in it")
            if note:
                print(f"{name}: {note}", file=sys.stderr)
            found += map(str, files)
        else:
            found.append(name)
    if not found:
        raise RunError(f"there is no photo in {', '.join(names)}")
    return found


def read_photos(files: Sequence[str], model: Any) -> Iterator[tuple[str, Any]]:
    """Read photos in the size that a model takes; report those that cannot be read.

    Args:
        files: Paths of photos.
        model: keras.Model of raw photos. If it has one input size, the largest centered part of
            that aspect ratio is read.

    Yields:
        Pairs: path, and uint8 array (h, w, c).

    Raises:
        RunError: If a photo cannot be read; with several photos, after the others.
    """
    from cvcourse import data

    *size, channels = model.input_shape[1:]
    damaged = 0
    for file in files:
        try:
            pixels = data.read_photo(file, channels, None if None in size else size)
        except data.DataError as error:
            if len(files) == 1:
                raise
            print(error, file=sys.stderr)
            damaged += 1
        else:
            yield file, pixels
    if damaged:
        raise RunError(f"{damaged:,} of {len(files):,} photos cannot be read")


def probabilities(model: Any, pixels: Any) -> Any:
    """Compute the probabilities of the classes of a photo.

    Args:
        model: keras.Model from raw photos to logits or probabilities.
        pixels: Array (h, w, c).

    Returns:
        float64 array (classes,).
    """
    import keras
    import numpy as np

    from cvcourse import training
    from cvcourse.visualization.network import Network

    if model.output_shape[-1] == 1:  # a logit, or its sigmoid
        network = Network.of(model)
        return np.array(network.probabilities(network.predict(network.images(pixels[None]))))[0]
    scores = np.array(model(pixels[None].astype("float32"), training=False), "float32")
    return np.array(keras.ops.softmax(training.as_logits(scores).astype("float64")))[0]


def _model_in(folder):
    """Find the model in a run directory. Raises UsageError if there is none."""
    for name in MODELS:
        if (folder / name).exists():
            return folder / name
    if (folder / "best.json").exists():
        again = shlex.join(["cvcourse", "train", f"--config={folder / 'best.json'}"])
        raise UsageError(
            f"{folder} is the directory of a sweep, which has no model: train the best one first "
            f"with {again}"
        )
    raise UsageError(f"{folder} has no {MODELS[0]}: use the directory of a run of train")


def _from_file(file, named):
    """Load the Classifier in a .keras, .cvz or exported file."""
    from cvcourse import training
    from cvcourse.compression import deployment

    run, is_exported = {}, file.suffix in EXPORTED or file.is_dir()
    # The config beside an exported file is that of the export, whose dataset it was not trained on.
    if not is_exported and (file.parent / "config.json").exists():
        values = read_json(file.parent / "config.json")
        run = values if isinstance(values.get("dataset"), str) else {}  # of our own run
    try:
        if is_exported:
            model, names = deployment.read(file)
        else:
            model, names = training.load_model(file, named=named)
    except RunError:
        if not run.get("sources"):
            raise
        _register_layers(run)
        model, names = training.load_model(file, named=named)
    if [len(tensor.shape) for tensor in (*model.inputs, *model.outputs)] != [4, 2]:
        raise RunError(f"{file} is not an image classifier: it does not output one score per class")
    if (channels := model.input_shape[-1]) not in (1, 3):
        raise RunError(f"{file} takes images of {channels} channels, not of 1 (gray) or 3 (RGB)")
    spellings = tuple((name,) for name in names or ())
    return Classifier(model, names, spellings, str(file), run, file.parent)


def _register_layers(run):
    """Import the source file of a run's builder, which defines layers of its model, and report it.

    Raises UsageError if the file has changed, ValueError if it cannot be imported.
    """
    name = run["model"]
    if source_file.digest(name) != run["sources"].get("model"):
        raise UsageError(f"{source_file.split(name)[0]} {source_file.CHANGED}")
    print(
        f"running {source_file.split(name)[0]}, which defines layers of the model", file=sys.stderr
    )
    source_file.load(name)


def _published(name, weights, weights_dir, allow_noncommercial, settings):
    """Load the Classifier of published weights."""
    from cvcourse.models import pretrained

    net, published = pretrained.load_published(
        name,
        weights,
        weights_dir=weights_dir,
        allow_noncommercial=allow_noncommercial,
        **settings,
    )
    names = pretrained.imagenet_classes(weights_dir)
    if len(names) != net.output_shape[-1]:
        raise RunError(
            f"{published} has {net.output_shape[-1]} classes without known names: weights of "
            "ImageNet's 1000 classes are needed"
        )
    synsets = pretrained.imagenet_synsets(weights_dir)
    counts = collections.Counter(names)
    unique = tuple(
        name if counts[name] == 1 else f"{name} ({synset})"
        for name, synset in zip(names, synsets, strict=True)
    )
    spellings = tuple(
        tuple(dict.fromkeys(three)) for three in zip(names, synsets, unique, strict=True)
    )
    model = pretrained.with_preprocessing(net, published)
    return Classifier(model, unique, spellings, str(published))


def _places(spellings, simplified):
    """Return {name: indices of the classes that may have it}."""
    places = collections.defaultdict(list)
    for place, names in enumerate(spellings):
        for name in dict.fromkeys(map(simplified, names)):
            places[name].append(place)
    return places


def _simplified(name):
    """Normalize a name: case, hyphens, underscores and repeated spaces are ignored."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _are_numbers(names):
    """Check whether the names are 0, 1, 2, … in any order."""
    return {*names} == {str(number) for number in range(len(names))}


def _listed(names):
    """Format the first few names and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
