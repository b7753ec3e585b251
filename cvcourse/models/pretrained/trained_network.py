"""Trained networks for new classes: published weights, or any saved model."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras

from cvcourse.errors import RunError
from cvcourse.models.pretrained._feature_extractor import feature_extractor, scales_pixels
from cvcourse.models.pretrained.loading import load_published
from cvcourse.models.pretrained.preprocessing import (
    SCALINGS,
    resize_of,
    with_preprocessing,
    with_resizing,
)
from cvcourse.saved_model import is_saved_model, read_model

USUAL_SCALINGS = ("none", "unit", "tf", "torch", "caffe")  # of networks that do not scale pixels


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with a new classifier, and the preprocessing of its images.

    Attributes:
        name: Name of the network.
        weights: Name of its weights.
        resize: Arguments of `Dataset.resized` for files of images, or None to keep their size.
        scalings: Keys of SCALINGS that its pixels may need; a single one if the scaling is known.
        preprocessed: Function (image shape, scaling) that returns a keras.Model from raw images of
            0..255 to logits.
        notes: Sentences for the user.
    """

    name: str
    weights: str
    resize: dict | None
    scalings: tuple[str, ...]
    preprocessed: Callable
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"TrainedNetwork({self.name!r}, {self.weights!r}, scalings={self.scalings})"


def load_trained(
    name: str,
    weights: str | os.PathLike = "default",
    builder_args: dict[str, Any] | None = None,
    *,
    num_classes: int,
    size: int | None = None,
    scaling: str = "auto",
    weights_dir: str | os.PathLike | None = None,
    allow_noncommercial: bool = False,
    named: bool = True,
) -> TrainedNetwork:
    """Load a trained network with a new classifier.

    If a .keras file does not contain published weights of `name`, the saved model is used up to its
    last pooled features. Import the modules with its custom layers first.

    Args:
        name: An architecture of ours, or a source's network ("timm.seresnet50").
        weights: As in `load`.
        builder_args: Arguments of the builder, as a dict; only for published weights.
        num_classes: Number of new classes.
        size: Side of the images that the network sees, in pixels. If None, the size of its weights.
        scaling: "auto", or a key of SCALINGS for a network that does not scale pixels itself.
        weights_dir: As in `load`.
        allow_noncommercial: As in `load`.
        named: Whether the user has chosen `name`; if so, errors mention it.

    Returns:
        A `TrainedNetwork`.

    Raises:
        ValueError, RunError, UsageError: If weights, size and scaling cannot be combined; and as
            `load`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:  # a file in place of a download
    ...     path = os.path.join(folder, "net.weights.h5")
    ...     keras.applications.MobileNet(alpha=0.25, weights=None).save_weights(path)
    ...     network = load_trained("mobilenet", path, {"width": 0.25}, num_classes=5)
    >>> network
    TrainedNetwork('mobilenet', 'keras.mobilenet:net.weights.h5', scalings=('tf',))
    >>> network.preprocessed((None, None, 3), "tf").output_shape
    (None, 5)
    """
    settings = {**(builder_args or {}), "num_classes": num_classes}
    if size:
        settings["input_shape"] = (size, size, 3)
    try:
        net, published = load_published(
            name,
            weights,
            weights_dir=weights_dir,
            allow_noncommercial=allow_noncommercial,
            **settings,
        )
    except (ValueError, RunError) as error:
        if builder_args or not is_saved_model(weights):
            raise
        path = pathlib.Path(weights).expanduser()
        return _as_saved(path, num_classes, size, scaling, name, error if named else None)
    if scaling != "auto":
        raise ValueError(f"--scaling: the weights {published} have their own, {published.scaling}")
    resize = {
        "side": resize_of(published, net.input_shape[1]),
        "interpolation": published.interpolation,
        "crop": published.resize > 0,
    }

    def preprocessed(shape, scaling):
        return with_preprocessing(net, published, shape)

    return TrainedNetwork(name, str(published), resize, (published.scaling,), preprocessed)


def _as_saved(path, num_classes, size, scaling, name, unpublished):
    """Load a model as it was saved, as a TrainedNetwork.

    Args:
        path: The .keras file.
        num_classes, size, scaling, name: As in `load_trained`.
        unpublished: The error of loading it as published weights of `name`, or None.
    """
    try:
        features, place = feature_extractor(read_model(path))
    except ValueError as error:
        also = f"; nor as {name}: {unpublished}" if unpublished else ""
        raise ValueError(f"{path} cannot be used as it was saved: {error}{also}") from error
    *sides, channels = features.input_shape[1:]
    if size and sides not in ([None, None], [size] * 2):
        raise ValueError(f"--size={size}: {path} takes images of {sides[0]}x{sides[1]}")
    if size:
        sides = [size] * 2
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")
    net = keras.Model(features.input, logits(features.output), name=features.name)
    notes = [
        f"{path} has no published weights of {name}: it is used as it was saved, with a new head "
        f"on the {features.output_shape[-1]:,} features of {place}."
    ]
    if scales_pixels(features):
        if scaling != "auto":
            raise ValueError(f"--scaling: {path} scales the pixels itself: leave it out")
        scalings = ("none",)
        notes.append("It scales the pixels itself.")
    elif scaling != "auto":
        scalings = (scaling,)
        notes.append(f"Its pixels are scaled by --scaling={scaling}.")
    else:  # gray pixels cannot have a mean for each color
        scalings = tuple(
            one for one in USUAL_SCALINGS if channels == 3 or len({*SCALINGS[one][0]}) == 1
        )
    square = sides[0] and sides[0] == sides[1]
    return TrainedNetwork(
        path.stem,
        path.name,
        {"side": sides[0], "interpolation": "bilinear"} if square else None,
        scalings,
        lambda shape, scaling: with_resizing(net, shape, size=sides, scaling=scaling),
        tuple(notes),
    )
