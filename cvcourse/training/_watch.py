"""Grad-CAM of a few validation images after each epoch of a training."""

import io
import re
import warnings

import keras
import numpy as np

from cvcourse.errors import RunError
from cvcourse.figures import overlay
from cvcourse.files import write_bytes
from cvcourse.visualization import grad_cam
from cvcourse.visualization.network import Network

FOLDER = "watch"  # in the run's directory
COLUMNS = 6  # epochs in the report


class Watch(keras.callbacks.Callback):
    """Callback that saves Grad-CAM maps and the class's probability at the end of each epoch.

    It draws no random numbers and changes no weights, so a run is the same with and without it.

    Args:
        images: Array (n, h, w, c), as the model takes them.
        labels: Their classes (n,), whose logits are explained.
        folder: Folder for the files, as a pathlib.Path: one per epoch, replaced if it exists.
    """

    def __init__(self, images, labels, folder):
        super().__init__()
        self.images, self.labels, self.folder = images, labels, folder

    def on_epoch_end(self, epoch, logs=None):
        network = Network.of(self.model)
        layer, _ = network.default_map()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of maps that are zero, as early maps may be
            try:
                maps = grad_cam(self.model, self.images, self.labels, layer=layer)
                logits = network.predict(network.images(self.images))
            except ValueError:  # NaN; the training reports it
                return
        probabilities = np.array(network.probabilities(logits))[range(len(maps)), self.labels]
        buffer = io.BytesIO()
        np.savez_compressed(buffer, maps=maps, probabilities=probabilities)
        try:
            self.folder.mkdir(exist_ok=True)
            write_bytes(self.folder / f"{epoch + 1:04d}.npz", buffer.getvalue())
        except OSError as error:
            raise RunError(f"cannot write to {self.folder}: {error.strerror}") from error


def require_map(model, count):
    """Check that a network has a feature map for Grad-CAM, if images are watched.

    Args:
        model: keras.Model.
        count: Number of images to watch.

    Raises:
        ValueError: If it has none, with the flag that asks for it.
    """
    if not count:
        return
    try:
        Network.of(model).default_map()
    except ValueError as error:
        raise ValueError(f"--watch draws Grad-CAM: {error}") from error


def watch(count, dataset, workdir):
    """Create the callbacks that watch a run.

    Args:
        count: Number of validation images to explain, evenly spaced; with 0 there is no callback.
        dataset: Dataset of the run.
        workdir: The run's directory, as a pathlib.Path.

    Returns:
        A list of callbacks.
    """
    if not count:
        return []
    chosen, images = _watched(count, dataset)
    return [Watch(images, dataset.validation.labels[chosen], workdir / FOLDER)]


def watch_sections(count, dataset, workdir):
    """Create the section of a report on a watched run; see `watch`.

    Args:
        count: As in `watch`.
        dataset: As in `watch`.
        workdir: As in `watch`.

    Returns:
        A list of sections for `write_report`; empty without maps of `count` images.
    """
    if not count:
        return []
    chosen, images = _watched(count, dataset)
    found = {}
    for file in sorted((workdir / FOLDER).glob("*.npz")):
        with np.load(file, allow_pickle=False) as saved:
            maps, probabilities = saved["maps"], saved["probabilities"]
        if re.fullmatch(r"\d{4,}", file.stem) and len(maps) == len(chosen):
            found[int(file.stem)] = maps, probabilities
    if not found:
        return []
    epochs = [*found]
    shown = [epochs[i] for i in np.unique(np.linspace(0, len(epochs) - 1, COLUMNS).astype(int))]
    rows = []
    for i, place in enumerate(chosen):
        maps = np.stack([found[epoch][0][i] for epoch in shown])
        name = dataset.class_names[dataset.validation.labels[place]]
        row = [(images[i], f"{name} (validation)")]
        for epoch, one in zip(shown, maps, strict=True):
            picture = overlay(images[i], one, scale=maps.max() or 1.0, signed=False)
            row.append((picture, f"epoch {epoch}, P = {found[epoch][1][i]:.2f}"))
        rows.append(row)
    return [
        {
            "caption": "Grad-CAM by epoch",
            "paragraphs": [
                "Grad-CAM (Selvaraju et al. 2017) of the true class at the last feature map, after "
                "these epochs; P is the probability of that class. The colors of a row have one "
                "scale."
            ],
            "gallery": rows,
        }
    ]


def _watched(count, dataset):
    """Return the indices of validation images to watch, and the images (n, h, w, c)."""
    images = dataset.validation.images
    chosen = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
    return chosen, np.stack([np.asarray(images[int(i)]) for i in chosen])
