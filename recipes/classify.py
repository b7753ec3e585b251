"""Classify photos with published weights or your own model.

    cvcourse classify photo.jpg --model=mobilenet_v2
    cvcourse classify photos/ more.png --model=runs/train/flowers
    cvcourse classify photo.jpg --model=runs/export/flowers/litert_int8.tflite

The output has a line for each of the five likeliest classes: probability, tab, name. All photos of
a folder and its subfolders are classified, in the order of their paths. A photo that cannot be read
is reported, and the others are classified; the exit code is then 1.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly


@dataclasses.dataclass(frozen=True)
class Config(recipe.ClassifierFields):
    """Photos and the model that classifies them."""

    model: str = recipe.field(
        "mobilenet_v2",
        "network with published weights, run directory, or .keras, .cvz, .tflite, .onnx, .xml file",
    )
    photos: tuple[str, ...] = recipe.field((), "image files and folders", positional=True)
    top: int = recipe.field(5, "number of classes to print", least=1)


def main(config):
    """Classify photos and print the likeliest classes.

    Args:
        config: Config.

    Returns:
        {photo: [(probability, class name), ...]}, the likeliest first.

    Raises:
        UsageError: For a wrong value.
        RunError: If the model or a photo cannot be read; with several photos, after the others have
            been classified.
    """
    config = recipe.check(config)
    if not config.photos:
        raise UsageError("no photo to classify: cvcourse classify photo.jpg")
    import_tensorflow_quietly()
    from cvcourse import classifier

    with recipe.user_errors():
        loaded = classifier.of(config, exported=True)
    photos, found = classifier.photo_files(config.photos), {}
    for photo, pixels in classifier.read_photos(photos, loaded.model):
        probabilities = classifier.probabilities(loaded.model, pixels)
        order = probabilities.argsort()[::-1][: config.top]
        found[photo] = [(float(probabilities[i]), loaded.class_names[i]) for i in order]
        if len(photos) > 1:
            print(photo)
        for probability, name in found[photo]:
            print(f"{probability:.4f}\t{name}")
    return found


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
