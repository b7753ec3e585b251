"""Table of the published weights of our networks (published.csv)."""

import csv
import dataclasses
import functools
import importlib.resources
import os
from typing import Any

from cvcourse.errors import pick, unknown
from cvcourse.models.pretrained.fitting import SOURCES, plain
from cvcourse.models.registry import REGISTRY, builder_args, known_arguments

# Arguments that a source determines, or that no weight depends on: they do not distinguish
# networks.
MANNERS = {
    *("padding", "epsilon", "momentum", "scale", "use_bias", "stride_in", "strided_block"),
    *("zero_padded_pool", "zero_padded_pools", "count_include_pad"),
    *("aux", "dropout", "survival", "drop_path", "drop_path_steps", "input_shape", "num_classes"),
}
PREFERENCE = ("torchvision", "keras", "timm", "efficientnet_pytorch")
MAPS = "models.backbone(model, stages=…) gives the feature maps of a loaded model"
PREPARED = "preprocessing=False leaves the preprocessing out"
INSTEAD = {  # arguments of keras.applications and timm: what to do with published weights
    "include_top": "models.features(model) ends a loaded model at its features",
    "pretrained": "leave it out: published weights are loaded in any case",
    "features_only": MAPS,
    "out_indices": MAPS,
    "include_preprocessing": PREPARED,
    "include_rescaling": PREPARED,
}
NONCOMMERCIAL = ("-nc-", "noncommercial")  # in the names of licenses


@dataclasses.dataclass(frozen=True)
class Published:
    """A set of published weights: a row of the table.

    Attributes:
        network: SOURCE.NAME, a key of `SOURCES`.
        settings: Further arguments of our builder, argument=value separated by semicolons.
        tag: The source's name of this set.
        address: URL of the file; only its name if no server has the file by itself.
        hash: The first hexadecimal digits of a SHA-256, or an MD5; "" if none is published.
        licence: The license, as stated by the source.
        classes: Number of classes.
        size: Side of the crop that the published accuracy is for, in pixels.
        resize: Short side before the crop, in pixels; 0 if the photo is squashed to the crop.
        interpolation: "bilinear" or "bicubic".
        scaling: Key of `SCALINGS`.
        top1: Published top-1 accuracy on ImageNet, in percent; None if unknown.
        top5: Published top-5 accuracy on ImageNet, in percent; None if unknown.
    """

    network: str
    settings: str
    tag: str
    address: str
    hash: str
    licence: str
    classes: int
    size: int
    resize: int
    interpolation: str
    scaling: str
    top1: float | None
    top5: float | None

    @property
    def source(self) -> str:
        """Publisher: torchvision, keras, timm or efficientnet_pytorch."""
        return self.network.split(".")[0]

    @property
    def architecture(self) -> str:
        """Name of our network, a key of `models.REGISTRY`."""
        return SOURCES[self.network][0]

    @property
    def form(self) -> dict[str, Any]:
        """Arguments of the builder that give our network the source's form."""
        size = {"input_shape": (self.size, self.size, 3), "num_classes": self.classes}
        return SOURCES[self.network][1] | self.variant | size

    @property
    def variant(self) -> dict[str, float]:
        """Arguments that distinguish this set from others of its network: {"width": 0.25}."""
        pairs = (pair.split("=") for pair in self.settings.split(";") if pair)
        return {key: float(value) for key, value in pairs}

    @property
    def noncommercial(self) -> bool:
        """Whether the license, as stated, forbids commercial use."""
        return any(mark in self.licence.lower() for mark in NONCOMMERCIAL)

    def __str__(self) -> str:
        return f"{self.network}:{self.tag}"

    def __repr__(self) -> str:
        shown = {"architecture": self.architecture, **self.variant, "source": self.source}
        shown |= {name: getattr(self, name) for name in ("licence", "classes", "size", "top1")}
        pairs = (f"{name}={value!r}" for name, value in shown.items())
        return f"Published({', '.join([repr(str(self)), *pairs])})"


@functools.cache
def published() -> tuple[Published, ...]:
    """Read the table of published weights.

    Returns:
        All sets of weights, in the table's order: of each network, the source's default is first.

    >>> len(published()) > 300
    True
    >>> str(published()[0])
    'torchvision.alexnet:IMAGENET1K_V1'
    """
    table = importlib.resources.files(__package__) / "published.csv"
    return tuple(map(_record, csv.DictReader(table.read_text("utf-8").splitlines())))


def candidates(name: str, *, source: str | None = None, **settings: Any) -> list[Published]:
    """List the published weights of a network, the preferred source first.

    Args:
        name: An architecture of ours, or a source's network ("timm.seresnet50").
        source: "torchvision", "keras", "timm" or "efficientnet_pytorch"; None for all.
        **settings: Arguments of the builder, which choose a variant of an architecture of ours
            (width=0.25).

    Returns:
        A list of `Published`, not empty.

    Raises:
        ValueError: If a name or an argument is unknown, or no such weights are published.

    >>> [str(one) for one in candidates("mobilenet", width=0.25)][:2]
    ['keras.mobilenet:2_5_224', 'keras.mobilenet:2_5_192']
    """
    settings = known_settings(name, settings)
    rows = [
        row
        for row in published()
        if plain(row.network) == plain(name) or _is_of(row, name, settings)
    ]
    if not rows:
        shape = ", ".join(f"{key}={value}" for key, value in settings.items() if key not in MANNERS)
        raise ValueError(
            f"no published weights of {name}{f' with {shape}' if shape else ''} are known: "
            "`cvcourse models --pretrained` lists all"
        )
    rows = sorted(rows, key=lambda row: PREFERENCE.index(row.source))
    sources = list(dict.fromkeys(row.source for row in rows))
    if source and source not in sources:
        raise ValueError(f"{name}: {unknown('source of weights', source, sources)}")
    return [row for row in rows if source in (None, row.source)]


def known_settings(name, settings):
    """Replace old names of arguments, and refuse unknown ones, as `registry.known_arguments` does.

    Args:
        name: As in `candidates`.
        settings: {argument: value}.

    Returns:
        {argument: value}.

    Raises:
        ValueError: If the name or an argument is unknown.
    """
    of_sources = {plain(network): architecture for network, (architecture, _) in SOURCES.items()}
    if not isinstance(name, str) or of_sources.get(plain(name), name) not in REGISTRY:
        pick("model", name, REGISTRY)  # raises the error
    return known_arguments(of_sources.get(plain(name), name), settings, INSTEAD)


def find(
    name: str, weights: str | os.PathLike = "default", *, source: str | None = None, **settings: Any
) -> Published:
    """Find a set of published weights in the table.

    Args:
        name: As in `candidates`.
        weights: "default" for the first of `candidates`, or a tag.
        source: As in `candidates`.
        **settings: As in `candidates`.

    Returns:
        A `Published`.

    Raises:
        ValueError: If a name, argument or tag is unknown; for a tag, the message lists all tags.

    >>> find("resnet50", "IMAGENET1K_V2").top1
    80.858
    """
    rows = candidates(name, source=source, **settings)
    if weights in (None, True, False):
        raise ValueError(
            f'{name}: weights="default", a tag or the path of a file is needed; received '
            f'{weights}: models.build("{name}") gives random weights'
        )
    if weights == "default":
        return rows[0]
    for row in rows:
        if weights in (row.tag, str(row)):
            return row
    if str(weights).lower() == "imagenet":
        raise ValueError(
            f'{name}: weights="imagenet" is a value of keras.applications; instead, write '
            'weights="default", or leave it out'
        )
    raise ValueError(
        f"{name}: {unknown('weights', weights, ['default', *(row.tag for row in rows)])}; "
        "or the path of a file"
    )


def _is_of(row, architecture, settings):
    """Check whether a row has weights of an architecture with these arguments."""
    if row.architecture != architecture:
        return False
    defaults = builder_args(architecture)
    return _structure(defaults | row.form) == _structure(defaults | settings)


def _structure(settings):
    return {key: _plain(value) for key, value in settings.items() if key not in MANNERS}


def _plain(value):
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _record(row):
    numbers = {key: int(row[key]) for key in ("classes", "size", "resize")}
    accuracy = {key: float(row[key]) if row[key] else None for key in ("top1", "top5")}
    return Published(**row | numbers | accuracy)
