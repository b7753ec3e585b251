"""List networks with parameters, multiply-accumulates (MACs), activations and accuracy.

    cvcourse models
    cvcourse models --model=vgg16
    cvcourse models --model=resnet50 --input_shape=96,96,3
    cvcourse models --pretrained --model=resnet50

Without `--model`, one line per network at its usual input size, with its published accuracy; with
`--model`, one line per layer, with its receptive field. With `--pretrained`, one line per set of
published weights that fits one of our networks, the default of its source first.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks to list."""

    model: str | None = recipe.field(
        None,
        "network to list layer by layer: network of cvcourse.models.REGISTRY, or FILE.py:FUNCTION "
        "for your own builder; none: all networks",
    )
    input_shape: tuple[int, ...] | None = recipe.field(
        None, "height,width,channels of the input of --model; auto: its usual size", least=1
    )
    pretrained: bool = recipe.field(False, "list published weights and their addresses")


def main(config):
    """Print a table.

    Args:
        config: Config.

    Returns:
        {network or layer: counts}, or with `pretrained` {weights: fields of their record}.

    Raises:
        UsageError: For a wrong name or value.
    """
    config = recipe.check(config)
    import_tensorflow_quietly()
    from cvcourse import models
    from cvcourse.models import _cost

    if config.pretrained:
        return _pretrained(config.model)
    if config.model is None:
        with recipe.user_errors():
            if config.input_shape:
                raise ValueError("--input_shape needs a network: use it with --model")
        costs = {name: models.cost(name) for name in models.REGISTRY}
        header = ("network", "input", "parameters", "MACs", "activations", "on", "top-1", "source")
        _print([header, *(_network(name, cost) for name, cost in costs.items())])
        return {name: _counts(cost) for name, cost in costs.items()}
    settings = {"input_shape": config.input_shape} if config.input_shape else {}
    with recipe.user_errors():
        cost = models.cost(config.model, **settings)
    total = ("in all", "", "", *_numbers(cost), "")
    _print([_cost.HEADER, *(row.cells() for row in cost), total])
    return {"in all": _counts(cost), **{row.name: _counts(row) for row in cost}}


def _pretrained(name):
    """Print the published weights of one network or of all; return {weights: fields}."""
    from cvcourse.models import pretrained

    rows = [row for row in pretrained.published() if name in (None, row.architecture)]
    if not rows:
        with recipe.user_errors():
            rows = pretrained.candidates(name)  # "timm.seresnet50", or an error
    header = ("weights", "network", "built with", "photo", "scaling", "top-1", "top-5", "license")
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
    _, _, size, *_ = cost[0].cells()
    return (name, size, *_numbers(cost), *published)


def _counts(cost):
    return dict(parameters=cost.trainable, macs=cost.macs, activations=cost.activations)


def _numbers(cost):
    return [f"{count:,}" for count in _counts(cost).values()]


def _print(rows):
    from cvcourse.models import _cost

    print(*_cost.aligned(rows), sep="\n")


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
