"""What is in a photo: the likeliest classes, by a network with published weights or one of yours.

    cvcourse classify photo.jpg --model=mobilenet_v2
    cvcourse classify photo.jpg --model=runs/train/flowers/model.keras

A line for each of the five likeliest classes: its probability, a tab, its name.
"""

import dataclasses
import pathlib
import sys

from cvcourse import recipe
from cvcourse.errors import RunError, UsageError
from cvcourse.startup import import_tensorflow_quietly


@dataclasses.dataclass(frozen=True)
class Config:
    """Which photos, and what looks at them."""

    photos: tuple[str, ...] = recipe.field((), "files of images", positional=True)
    model: str = recipe.field(
        "mobilenet_v2", "a network with published weights, or the model.keras of a run"
    )
    weights: str = recipe.field("default", "a tag of `cvcourse models --pretrained`, or a file")
    model_args: dict = recipe.field({}, "knobs of the model's builder: width=0.25")
    weights_dir: str | None = recipe.field(None, "where files of weights are looked for first")
    allow_noncommercial: bool = recipe.field(False, "take weights that are not for commerce, too")
    top: int = recipe.field(5, "how many classes to print", least=1)


def main(config):
    """Print the classes; returns {photo: [(probability, name), ...]}."""
    config = recipe.check(config)
    if not config.photos:
        raise UsageError("no photo to look at: cvcourse classify photo.jpg")
    import_tensorflow_quietly()
    from cvcourse import data

    model, names = _model(config)
    *size, channels = model.input_shape[1:]
    size = None if None in size else size  # a model for one size sees the photo's middle
    photos = {photo: data.read_photo(photo, channels, size) for photo in config.photos}
    found = {}
    for photo, pixels in photos.items():
        probabilities = _probabilities(model, pixels)
        order = probabilities.argsort()[::-1][: config.top]
        found[photo] = [(float(probabilities[i]), names[i]) for i in order]
        if len(photos) > 1:
            print(photo)
        for probability, name in found[photo]:
            print(f"{probability:.4f}\t{name}")
    return found


def _model(config):
    """A model from raw pixels to logits or probabilities, and the names of its classes."""
    from cvcourse import training

    if pathlib.Path(config.model).suffix == ".keras":
        model, names = training.load_model(config.model)
        if [len(tensor.shape) for tensor in (*model.inputs, *model.outputs)] != [4, 2]:
            raise RunError(f"{config.model} does not turn images into one score a class")
        return model, names
    from cvcourse.models import pretrained

    with recipe.usage():
        net, published = pretrained.load_published(
            config.model,
            config.weights,
            weights_dir=config.weights_dir,
            allow_noncommercial=config.allow_noncommercial,
            **config.model_args,
        )
    names = pretrained.imagenet_classes(config.weights_dir)
    if len(names) != net.output_shape[-1]:
        raise RunError(
            f"{published} tells {net.output_shape[-1]} classes apart, whose names are not known: "
            "weights of ImageNet's 1000 are needed"
        )
    return pretrained.from_photos(net, published), names


def _probabilities(model, pixels):
    """(h, w, c) pixels -> (classes,)."""
    import keras
    import numpy as np

    output = np.array(model(pixels[None].astype("float32"), training=False), "float64")[0]
    is_distribution = output.min() >= 0 and abs(output.sum() - 1) < 1e-3
    return output if is_distribution else np.array(keras.ops.softmax(output))


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="classify", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
