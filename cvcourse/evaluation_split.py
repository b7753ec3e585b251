"""Choose the images of a dataset to evaluate a model on: images that it was not trained on.

A split that comes with the dataset is used if there is one: test, else validation. Of a dataset
without, `train` holds out a fixed tenth, which is used for a model that was trained on the rest. A
model that was trained on none of the images is evaluated on all of them.
"""

import contextlib
import dataclasses
import os
from typing import Any

import numpy as np

from cvcourse import data, training
from cvcourse.classifier import Classifier, resizing
from cvcourse.errors import UsageError

BATCH_SIZE = 32  # for a model without a run; the last digits of outputs may depend on it
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class EvaluationSplit:
    """Images to evaluate a model on, in the shape that the model takes.

    Attributes:
        examples: Split with images of the model's size; labels are indices of its outputs.
        name: train, validation, test or all.
        class_names: Names of the model's outputs.
        names: Names of the images: paths in the dataset's folder, or numbers in the split.
        notes: Sentences for the reader: which images, and how classes are matched.
        batch_size: Batch size of the model's run, so that outputs are equal to the bit; 32 if the
            model has no run.
        pixel_range: Range of the dataset's arrays.
    """

    examples: data.Split
    name: str
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    batch_size: int
    pixel_range: str

    def __repr__(self) -> str:
        counts = f"images={len(self.examples)}, classes={len(self.class_names)}"
        return f"EvaluationSplit({self.name!r}, {counts})"


def choose(
    classifier: Classifier,
    name: str,
    split: str = "auto",
    *,
    data_dir: str | None = None,
    limit: int | None = None,
) -> EvaluationSplit:
    """Load the images of a dataset to evaluate a model on.

    Args:
        classifier: Classifier.
        name: Name of the dataset, as in `data.load`.
        split: auto, train, validation, test or all.
        data_dir: As in `data.load`.
        limit: Number of examples of each split, stratified by class. If None, the limit of the
            model's run if it was trained on this dataset and the split is not "all".

    Returns:
        An EvaluationSplit.

    Raises:
        ValueError: If the dataset is unknown, or has classes that the model does not know.
        UsageError: If the dataset does not have the split, or if the split is auto and the model
            was trained on some of the images.
        DataError: If the data cannot be read.
    """
    whole = None
    try:
        dataset = data.load(name, data_dir=data_dir)
    except data.DataError:
        if split not in ("auto", "all") or not os.path.isdir(os.path.expanduser(name)):
            raise
        # A folder with too few images to hold some out: nothing was trained on it.
        dataset = whole = data.load(name, whole=True)
    is_own, doubt = (False, "") if whole else _trained_on(classifier, name, dataset)
    automatic = split == "auto"
    split, why = _automatic(classifier, name, dataset, is_own) if automatic else (split, "")
    if split == "all":
        dataset = whole or data.load(name, data_dir=data_dir, whole=True)
    runs_own = classifier.run.get("limit") if is_own and split != "all" and not limit else None
    limit = limit or runs_own
    batch_size = classifier.run.get("batch_size", BATCH_SIZE)
    if is_own:
        batch_size = min(batch_size, limit or batch_size, len(dataset.train))
    dataset = dataset.limit(limit) if limit else dataset
    examples = dataset.train if split == "all" else getattr(dataset, split)
    if not examples:
        there = [part for part in SPLITS if getattr(dataset, part)]
        raise UsageError(f"{name} has no {split} split: choose from auto, {', '.join(there)}, all")
    seen = 0 if is_own else _count_seen(classifier, examples)
    if seen and automatic:
        raise UsageError(
            f"the model was trained on {seen:,} of the {len(examples):,} images of {name}: use "
            f"{classifier.run['dataset']}, which has splits that it was not trained on, or "
            "--split=all to evaluate on all images anyway"
        )
    notes = [f"{name}: {len(examples):,} images, {split if split == 'all' else f'{split} split'}"]
    notes[0] += f", {why}." if why else "."
    if runs_own:
        notes.append(f"The run's --limit={limit} is applied: set a larger one for more images.")
    notes += [f"Data: {'; '.join(dataset.notes)}."] if dataset.notes else []
    if classifier.run and classifier.folder and not (classifier.folder / "metrics.json").exists():
        notes.append("The run is unfinished: the model is from its best epoch so far.")
    if is_own and split in ("train", "all"):
        notes.append(
            "The model was trained on these images: its accuracy on new ones is usually lower."
        )
    if seen:
        notes.append(f"The model was trained on {seen:,} of these images.")
    if doubt and split in dataset.held_out:
        notes.append(doubt)
    class_names, columns, note = _matched(classifier, name, dataset.class_names)
    notes += [note] if note else []
    names = _names(examples.images, name)
    examples = data.Split(examples.images, np.array(columns, "int32")[examples.labels])
    examples = to_input_shape(classifier.model, examples)
    return EvaluationSplit(
        examples, split, class_names, names, tuple(notes), batch_size, dataset.pixel_range
    )


def to_input_shape(model: Any, examples: data.Split) -> data.Split:
    """Convert a split's images to the shape that a model takes, as `classify` reads them.

    Args:
        model: keras.Model of images (batch, h, w, c).
        examples: Split of images of any size.

    Returns:
        A Split of images that the model takes.
    """
    now = examples.images.shape[1:]
    height, width, channels = (
        wanted or there for wanted, there in zip(model.input_shape[1:], now, strict=True)
    )
    if (resize := resizing(model)) and not isinstance(examples.images, np.ndarray):
        if channels != now[2]:
            examples = data.to_shape(examples, now[0], now[1], channels)
        side, interpolation = resize["side"], resize["interpolation"]
        images = examples.images.resized(side, interpolation, crop=resize["crop"])
        return dataclasses.replace(examples, images=images)
    return data.to_shape(examples, height, width, channels)


def _automatic(classifier, name, dataset, is_own):
    """Choose the split for --split=auto: (split, reason)."""
    provided = [
        part
        for part in ("test", "validation")
        if getattr(dataset, part) and part not in dataset.held_out
    ]
    held_out = "test" if dataset.test else "validation"
    selected = is_own and not dataset.test
    chose = ", and the run's best epoch was chosen on these images" if selected else ""
    if "test" in provided:
        return "test", "which the dataset comes with"
    if provided:
        return "validation", f"which the dataset comes with; it has no test split{chose}"
    if dataset.validation and is_own:
        return held_out, f"which was held out when the model was trained on the rest{chose}"
    if dataset.validation and classifier.folder and not classifier.run:
        return "all", (
            "since no config.json beside the model tells whether it was trained on some of them; "
            f"if it was, use --split={held_out}, the images that every run holds out"
        )
    return "all", "new to the model"


def _trained_on(classifier, name, dataset):
    """Return whether a model was trained on a dataset, and a sentence if that is uncertain."""
    run = classifier.run
    if not run:
        return False, ""
    then = training.data_fingerprint(classifier.folder / "checkpoints")
    limit, resize = run.get("limit"), resizing(classifier.model)
    trained = dataset.limit(limit) if limit else dataset
    now = (trained.resized(**resize) if resize else trained).fingerprint()
    is_folder = os.path.isdir(os.path.expanduser(name))
    if run["dataset"] == name or (is_folder and _is_same_place(run["dataset"], name)):
        changed = (
            f"{name} has changed since the run began, so the model may have been trained on images "
            "of this split."
        )
        return True, "" if then in (None, now) else changed
    if then is not None:
        return then == now, ""
    # A run without checkpoints: its dataset may have been copied, or moved here.
    there = os.path.expanduser(run["dataset"])
    if os.path.exists(there):
        with contextlib.suppress(data.DataError, ValueError):  # it has changed
            return data.load(there).fingerprint() == dataset.fingerprint(), ""
    is_name = run["dataset"] in data.NAMES or run["dataset"].startswith("tfds:")
    if is_name or not is_folder or dataset.class_names != classifier.class_names:
        return False, ""
    return True, (
        f"{run['dataset']}, which the model was trained on, was not found: {name} is assumed to be "
        "a copy of it; if all its images are new to the model, use --split=all."
    )


def _count_seen(classifier, examples):
    """Count the files that the model's run trained on, if its dataset is a folder."""
    there = os.path.expanduser(classifier.run.get("dataset", ""))
    if isinstance(examples.images, np.ndarray) or not os.path.isdir(there):
        return 0
    with contextlib.suppress(data.DataError, OSError):  # it has changed since
        known = data.load(there).train.images.files
        return len(
            {*map(os.path.realpath, known)} & {*map(os.path.realpath, examples.images.files)}
        )
    return 0


def _is_same_place(one, other):
    """Check whether two paths lead to the same file or folder."""
    one, other = os.path.expanduser(one), os.path.expanduser(other)
    return os.path.exists(one) and os.path.samefile(one, other)


def _matched(classifier, name, names):
    """Match classes: (names of the model's classes, output of each dataset class, note)."""
    outputs = classifier.model.output_shape[-1]
    if classifier.class_names is not None:
        return classifier.class_names, *classifier.columns(names)
    if outputs != len(names):
        raise ValueError(
            f"{classifier.source} has {outputs} classes without names, and {name} has "
            f"{len(names)}: equal numbers are needed to match them"
        )
    note = f"The model does not name its classes: they are assumed to be those of {name}, in order."
    return names, list(range(outputs)), note


def _names(images, dataset):
    """Return the names of images for a table, as text that UTF-8 can encode."""
    if isinstance(images, np.ndarray) or images.in_memory:
        return tuple(map(str, range(len(images))))
    folder = os.fsencode(os.path.expanduser(dataset))
    paths = [os.path.relpath(file, folder) for file in images.files]
    return tuple(path.decode(errors="backslashreplace") for path in paths)
