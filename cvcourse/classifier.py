"""A trained classifier by the name of published weights, a run directory or a .keras file.

What is known of it decides how a data set is put to it: its classes' names, the run that trained
it, and the size that it brings photos to.
"""

import collections
import dataclasses
import os
import pathlib
import shlex
import sys

from cvcourse import source_file
from cvcourse.errors import RunError, UsageError
from cvcourse.files import read_json
from cvcourse.saved_model import is_saved_model

MODELS = ("model.keras", "ensemble.keras")  # in a run directory
SHOWN = 5  # names of classes in an error


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model from raw images, 0..255, to logits or probabilities, and what is known of it.

    Attributes:
        model: keras.Model (batch, h, w, c) -> (batch, classes).
        class_names: of its outputs, all different; None if its file names none.
        spellings: for each output, the names that a data set may give its class.
        source: the file that it was read from, or the published weights.
        run: the fields of config.json beside the file; empty where there is none.
        folder: that holds the file; None for published weights.
    """

    model: object
    class_names: tuple[str, ...] | None
    spellings: tuple[tuple[str, ...], ...]
    source: str
    run: dict = dataclasses.field(default_factory=dict)
    folder: pathlib.Path | None = None

    @property
    def title(self):
        """A short name: that of the run's directory, the file or the weights."""
        if self.folder is None:
            return self.source
        path = pathlib.Path(self.source)
        return self.folder.resolve().name if path.name in MODELS else path.stem

    def columns(self, names):
        """Find the outputs for the classes of a data set.

        A name is looked for as it stands, then regardless of case, blanks, hyphens and underscores.
        Where one side has numbers for names, classes are matched by number.

        Args:
            names: of the data set's classes.

        Returns:
            A pair: a list with an output's number for each name, and a sentence for the reader that
            is empty where all names were found as they stand.

        Raises:
            ValueError: for names that the model does not know, or has more than once.
        """
        exact = _places(self.spellings, str)
        if all(len(exact[name]) == 1 for name in names):
            return [exact[name][0] for name in names], ""
        similar = _places(self.spellings, _simplified)
        found = [exact[name] or similar[_simplified(name)] for name in names]
        if all(len(places) == 1 for places in found):
            return [place for (place,) in found], "Classes are matched by similar spelling."
        outputs = len(self.spellings)
        numbered = _are_numbers(names) and len(names) <= outputs
        if numbered or (_are_numbers(self.class_names) and len(names) == outputs):
            columns = list(map(int, names) if numbered else range(outputs))
            first = f"{names[0]} of the data set is {self.class_names[columns[0]]} of the model"
            return columns, f"Classes are matched by number: {first}."
        for name, places in zip(names, found, strict=True):
            if len(places) > 1:
                several = " and ".join(" or ".join(self.spellings[place]) for place in places)
                raise ValueError(
                    f"the data set's class {name!r} is more than one of the model's: {several}"
                )
        strangers = [name for name, places in zip(names, found, strict=True) if not places]
        raise ValueError(
            f"the model does not know the classes {_listed(strangers)}; it knows "
            f"{_listed(self.class_names)}"
        )


def load(
    name,
    weights="default",
    *,
    weights_dir=None,
    allow_noncommercial=False,
    named=True,
    **settings,
):
    """Load a classifier of photos.

    Args:
        name: A run directory, a .keras file, or a network with published weights.
        weights, weights_dir, allow_noncommercial: As `pretrained.load_published` takes them.
        named: Whether a file must name its classes.
        **settings: Of the network's builder.

    Returns:
        A Classifier.

    Raises:
        ValueError, UsageError: For an unknown name or setting, a directory without a model, and a
            run of a builder of one's own whose file has changed.
        RunError: For a file that is damaged, or no classifier of images.
    """
    from cvcourse import models

    path = pathlib.Path(os.path.expanduser(name))
    is_run = path.is_dir() and name not in models.REGISTRY
    if is_run or path.suffix == ".keras" or is_saved_model(path):
        if weights != "default" or settings:
            raise UsageError(
                f"--weights and --model_args are for published weights, and {name} is a model"
            )
        return _from_file(_model_in(path) if is_run else path, named)
    if os.sep in name:
        raise UsageError(f"{name} is neither a run's directory nor a .keras file")
    return _published(name, weights, weights_dir, allow_noncommercial, settings)


def of(config, *, named=True):
    """Load the classifier that a recipe's config names.

    Args:
        config: With the fields `model`, `weights`, `weights_dir`, `allow_noncommercial` and
            `model_args`.
        named: As `load` takes it.

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
        **config.model_args,
    )


def resizing(model):
    """Find the resizing that a model for images of any size begins with.

    Args:
        model: keras.Model.

    Returns:
        A dict for `Dataset.resized`: side, interpolation and crop. None for a model of one size, or
        if it does not scale images to a square with antialiasing.
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


def _model_in(folder):
    """The model in a run directory. Raises UsageError if there is none."""
    for name in MODELS:
        if (folder / name).exists():
            return folder / name
    if (folder / "best.json").exists():
        again = shlex.join(["cvcourse", "train", f"--config={folder / 'best.json'}"])
        raise UsageError(
            f"{folder} is a sweep's directory, which holds no model: {again} trains the best one "
            "first"
        )
    raise UsageError(f"{folder} holds no {MODELS[0]}: give the directory of a run of train")


def _from_file(file, named):
    from cvcourse import training

    run = {}
    if (file.parent / "config.json").exists():
        values = read_json(file.parent / "config.json")
        run = values if isinstance(values.get("dataset"), str) else {}  # of a run of ours
    try:
        model, names = training.load_model(file, named=named)
    except RunError:
        if not run.get("sources"):
            raise
        _register_layers(run)
        model, names = training.load_model(file, named=named)
    if [len(tensor.shape) for tensor in (*model.inputs, *model.outputs)] != [4, 2]:
        raise RunError(f"{file} does not turn images into one score a class")
    if (channels := model.input_shape[-1]) not in (1, 3):
        raise RunError(f"{file} takes images of {channels} channels: 1 (gray) or 3 (RGB) are read")
    spellings = tuple((name,) for name in names or ())
    return Classifier(model, names, spellings, str(file), run, file.parent)


def _register_layers(run):
    """Import the source file of a run's builder, whose layers its model has, and say so.

    Raises UsageError where it has changed, ValueError where it cannot be imported.
    """
    name = run["model"]
    if source_file.digest(name) != run["sources"].get("model"):
        raise UsageError(f"{source_file.split(name)[0]} {source_file.CHANGED}")
    print(
        f"running {source_file.split(name)[0]}, which defines layers of the model", file=sys.stderr
    )
    source_file.load(name)


def _published(name, weights, weights_dir, allow_noncommercial, settings):
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
            f"{published} tells {net.output_shape[-1]} classes apart, whose names are not known: "
            "weights of ImageNet's 1000 are needed"
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
    """{a name: the numbers of the classes that may be called so}."""
    places = collections.defaultdict(list)
    for place, names in enumerate(spellings):
        for name in dict.fromkeys(map(simplified, names)):
            places[name].append(place)
    return places


def _simplified(name):
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _are_numbers(names):
    """Whether the names are 0, 1, 2 ... in any order."""
    return {*names} == {str(number) for number in range(len(names))}


def _listed(names):
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
