"""What is in a photo: the likeliest classes, by a network with published weights or one of yours.

    cvcourse classify photo.jpg --model=mobilenet_v2
    cvcourse classify photos/ more.png --model=runs/train/flowers

A line for each of the five likeliest classes: its probability, a tab, its name. Of a folder, all
photos in it and in the folders below are classified, in the order of their paths. A photo that
cannot be read is reported, and the others are classified; the exit code is then 1.
"""

import dataclasses
import os
import sys

from cvcourse import recipe
from cvcourse.errors import RunError, UsageError
from cvcourse.startup import import_tensorflow_quietly


@dataclasses.dataclass(frozen=True)
class Config(recipe.WeightsFields):
    """Which photos, and what looks at them."""

    photos: tuple[str, ...] = recipe.field((), "files of images, and folders", positional=True)
    model: str = recipe.field(
        "mobilenet_v2",
        "a network with published weights, a run's directory, or a model.keras",
    )
    model_args: dict = recipe.field({}, "knobs of the model's builder: width=0.25")
    top: int = recipe.field(5, "how many classes to print", least=1)


def main(config):
    """Print the classes; returns {photo: [(probability, name), ...]}.

    Raises UsageError for a wrong value, RunError for a model or photos that cannot be read, of
    several after the others have been classified.
    """
    config = recipe.check(config)
    if not config.photos:
        raise UsageError("no photo to look at: cvcourse classify photo.jpg")
    import_tensorflow_quietly()
    from cvcourse import classifier, data

    with recipe.user_errors():
        loaded = classifier.of(config)
    *size, channels = loaded.model.input_shape[1:]
    size = None if None in size else size  # a model for one size sees the photo's middle
    photos = list(_photos(config))
    if not photos:
        raise RunError(f"there is no photo in {', '.join(config.photos)}")
    found, damaged = {}, 0
    for photo in photos:
        try:
            pixels = data.read_photo(photo, channels, size)
        except data.DataError as error:
            if len(photos) == 1:
                raise
            print(error, file=sys.stderr)
            damaged += 1
            continue
        probabilities = _probabilities(loaded.model, pixels)
        order = probabilities.argsort()[::-1][: config.top]
        found[photo] = [(float(probabilities[i]), loaded.class_names[i]) for i in order]
        if len(photos) > 1:
            print(photo)
        for probability, name in found[photo]:
            print(f"{probability:.4f}\t{name}")
    if damaged:
        raise RunError(f"{damaged:,} of {len(photos):,} photos cannot be read")
    return found


def _photos(config):
    """Yield the files to classify: those that are named, and the images in folders."""
    from cvcourse import data

    for name in config.photos:
        path = os.path.expanduser(name)
        if os.path.isdir(path):
            files, note = data.photos(path)
            note = note or ("" if files else "no image in it")
            if note:
                print(f"{name}: {note}", file=sys.stderr)
            yield from map(str, files)
        else:
            yield name


def _probabilities(model, pixels):
    """(h, w, c) pixels -> (classes,)."""
    import keras
    import numpy as np

    from cvcourse import training

    scores = np.array(model(pixels[None].astype("float32"), training=False), "float32")
    return np.array(keras.ops.softmax(training.as_logits(scores).astype("float64")))[0]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
