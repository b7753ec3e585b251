"""What the networks of the course cost: parameters, multiply-accumulates, activations.

    cvcourse models
    cvcourse models --model=vgg16
    cvcourse models --model=resnet50 --input_shape=96,96,3
    cvcourse models --pretrained --model=resnet50

Without `--model` a line for each network at its usual input size, with its published accuracy;
with it, a line for each layer, and what one of its values sees of the image. With `--pretrained`
a line for each set of published weights that fits a network of ours, its source's default first.
"""

import dataclasses
import re
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

NUMBER = re.compile(r"[\d,.]+")


@dataclasses.dataclass(frozen=True)
class Config:
    """Which network, if one alone."""

    model: str | None = recipe.field(
        None,
        "a network of cvcourse.models.REGISTRY, or FILE.py:FUNCTION that builds one of your own, "
        "layer by layer",
    )
    input_shape: tuple[int, ...] | None = recipe.field(
        None, "height,width,channels of --model's images; auto: its usual size", least=1
    )
    pretrained: bool = recipe.field(False, "the published weights there are, and where they lie")


def main(config):
    """Print the table; returns {network or layer: its counts}."""
    config = recipe.check(config)
    import_tensorflow_quietly()
    from cvcourse import models

    if config.pretrained:
        return _pretrained(config.model)
    if config.model is None:
        with recipe.user_errors():
            if config.input_shape:
                raise ValueError("--input_shape is for one --model; name it")
        costs = {name: models.cost(name) for name in models.REGISTRY}
        header = ("network", "input", "parameters", "MACs", "activations", "on", "top-1", "source")
        _print([header, *(_network(name, cost) for name, cost in costs.items())])
        return {name: _counts(cost) for name, cost in costs.items()}
    settings = {"input_shape": config.input_shape} if config.input_shape else {}
    with recipe.user_errors():
        cost = models.cost(config.model, **settings)
    header = ("layer", "kind", "output", "parameters", "MACs", "activations", "sees")
    total = ("in all", "", "", *_numbers(cost), "")
    _print([header, *map(_layer, cost), total])
    return {"in all": _counts(cost), **{row.name: _counts(row) for row in cost}}


def _pretrained(name):
    """Print the sets of published weights of one network, or of all; returns {set: its fields}."""
    from cvcourse.models import pretrained

    rows = [row for row in pretrained.published() if name in (None, row.architecture)]
    if not rows:
        with recipe.user_errors():
            rows = pretrained.candidates(name)  # "timm.seresnet50", or none at all
    header = ("weights", "network", "built with", "photo", "scaling", "top-1", "top-5", "licence")
    _print([(*header, "hash", "address"), *map(_weights, rows)])
    return {str(row): dataclasses.asdict(row) for row in rows}


def _weights(row):
    form = ", ".join(
        f"{key}={value}"
        for key, value in row.form.items()
        if key != "input_shape" and (key, value) != ("num_classes", 1000)
    )
    resized = f"{row.resize} to {row.size}" if row.resize else f"squashed to {row.size}"
    accuracy = ["" if value is None else f"{value:.3f}" for value in (row.top1, row.top5)]
    photo = f"{resized}, {row.interpolation}"
    rest = (row.licence, row.hash, row.address)
    return (str(row), row.architecture, form, photo, row.scaling, *accuracy, *rest)


def _network(name, cost):
    from cvcourse import models

    published = [str(entry) for entry in models.PUBLISHED_ACCURACY.get(name, ("", "", ""))]
    return (name, _shape(cost[0].output_shape), *_numbers(cost), *published)


def _layer(row):
    sees = "all" if row.receptive_field is None else _shape(row.receptive_field)
    return (row.name, row.kind, _shape(row.output_shape), *_numbers(row), sees)


def _counts(cost):
    return dict(parameters=cost.trainable, macs=cost.macs, activations=cost.activations)


def _numbers(cost):
    return [f"{count:,}" for count in _counts(cost).values()]


def _shape(sides):
    return "x".join(map(str, sides))


def _print(rows):
    """Columns as wide as their widest entry; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if NUMBER.fullmatch(text) else text.ljust(width)
            for text, width in zip(row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
