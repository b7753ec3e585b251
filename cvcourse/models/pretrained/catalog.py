"""Which published weights there are for which of our networks, from the table published.csv."""

import csv
import dataclasses
import functools
import importlib.resources

from cvcourse.errors import unknown
from cvcourse.models.pretrained.fitting import SOURCES, plain
from cvcourse.models.registry import REGISTRY, build, builder_args

# Knobs that a source decides, or that no weight depends on: they do not tell one network from
# another.
MANNERS = {
    *("padding", "epsilon", "momentum", "scale", "use_bias", "stride_in", "strided_block"),
    *("zero_padded_pool", "zero_padded_pools", "count_include_pad"),
    *("aux", "dropout", "survival", "drop_path", "drop_path_steps", "input_shape", "num_classes"),
}
PREFERENCE = ("torchvision", "keras", "timm", "efficientnet_pytorch")
NONCOMMERCIAL = ("-nc-", "noncommercial")  # in the names of licences


@dataclasses.dataclass(frozen=True)
class Published:
    """A set of weights: where it lies, what it is of, and what its photos went through."""

    network: str  # SOURCE.NAME, a key of SOURCES
    settings: str  # further settings of our builder, knob=value by semicolon
    tag: str  # the source's name for this set
    address: str  # exact; the file's name alone where no server has it by itself
    hash: str  # in hex: the first digits of a SHA-256, or an MD5; "" where none is published
    licence: str  # as stated
    classes: int
    size: int  # side of the crop that the published accuracy is for, in pixels
    resize: int  # short side before the crop; 0: the photo is squashed to the crop
    interpolation: str
    scaling: str  # a key of preprocessing.SCALINGS
    top1: float | None  # published accuracy, %
    top5: float | None

    @property
    def source(self):
        """Who published it: torchvision, keras, timm or efficientnet_pytorch."""
        return self.network.split(".")[0]

    @property
    def architecture(self):
        """Our network."""
        return SOURCES[self.network][0]

    @property
    def form(self):
        """The settings that give our network the source's form."""
        size = {"input_shape": (self.size, self.size, 3), "num_classes": self.classes}
        return SOURCES[self.network][1] | self.variant | size

    @property
    def variant(self):
        """The settings that tell this set from others of its network: {"width": 0.25}."""
        pairs = (pair.split("=") for pair in self.settings.split(";") if pair)
        return {key: float(value) for key, value in pairs}

    @property
    def noncommercial(self):
        """Whether the licence, as stated, forbids commercial use."""
        return any(mark in self.licence.lower() for mark in NONCOMMERCIAL)

    def __str__(self):
        return f"{self.network}:{self.tag}"


@functools.cache
def published():
    """All sets of weights, as the table has them: within a network, its source's default first."""
    table = importlib.resources.files(__package__) / "published.csv"
    with table.open(encoding="utf-8", newline="") as file:
        return tuple(map(_record, csv.DictReader(file)))


def candidates(name, *, source=None, **settings):
    """The sets of weights for a network, best known source first.

    `name` is one of ours, whose form `settings` choose, or a source's: "timm.seresnet50". Raises
    ValueError where there are none.
    """
    if plain(name) in map(plain, SOURCES):
        rows = [row for row in published() if plain(row.network) == plain(name)]
    elif name in REGISTRY:
        if not settings.keys() <= builder_args(name).keys():
            build(name, **settings)  # which raises: it knows what to write instead
        rows = [row for row in published() if _is_of(row, name, settings)]
    else:
        raise ValueError(unknown("model", name, REGISTRY))
    if not rows:
        shape = ", ".join(f"{key}={value}" for key, value in settings.items() if key not in MANNERS)
        raise ValueError(
            f"no weights of {name}{f' with {shape}' if shape else ''} are published that we know: "
            "`cvcourse models --pretrained` lists those that are"
        )
    rows = sorted(rows, key=lambda row: PREFERENCE.index(row.source))
    sources = list(dict.fromkeys(row.source for row in rows))
    if source and source not in sources:
        raise ValueError(f"{name}: {unknown('source of weights', source, sources)}")
    return [row for row in rows if source in (None, row.source)]


def find(name, weights="default", *, source=None, **settings):
    """The set of weights that `weights` names: "default", or a tag of the table.

    Raises ValueError for a tag that no source has, with those there are.
    """
    rows = candidates(name, source=source, **settings)
    if weights == "default":
        return rows[0]
    for row in rows:
        if weights in (row.tag, str(row)):
            return row
    raise ValueError(
        f"{name}: {unknown('weights', weights, ['default', *(row.tag for row in rows)])}; "
        "or the path of a file"
    )


def _is_of(row, architecture, settings):
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
