"""Why a state_dict does not fit a network: the likeliest cause, from its names and shapes."""

import re

from cvcourse.models.registry import FAMILIES
from cvcourse.state_dict import MAX_LOOKED_AT, foreign_prefix

TABLES = [  # (family, sources, our layer: published name)
    (family.__name__.rpartition(".")[2], re.findall(r"\w+", sources), table)
    for family in FAMILIES
    for sources, table in getattr(family, "PUBLISHED_NAMES", {}).items()
]
OTHER_CLASSES = "the classifier has another number of classes: build the net with its num_classes"
OTHER_NETWORK = "they are of another network, or of another width"
OTHER_DEPTH = "most of it fits: it is incomplete, or of another depth or variant of the network"
OTHER_LIBRARIES = {  # that call the same tensors otherwise, and what tells
    "Keras": r"(^|[./])(kernel|gamma|beta|moving_mean|moving_variance)(:0)?$",
    # vit.encoder.layer.0.…, convnext.encoder.stages.0.…, resnet.embedder.…
    "Hugging Face's transformers": r"\b(encoder\.(layers?|stages)\.\d|embeddings\.|embedder\.)",
}


def cause(tensors, wanted, misshaped, classifiers):
    """The likeliest cause in a few words, or "".

    Args:
        tensors: {name: array} as given.
        wanted: {name: (our layer, its variable)} of the tensors that the net needs.
        misshaped: {name: (name of our layer, given shape, shape of our variable)}.
        classifiers: Names of the net's layers with a weight a class.
    """
    if not tensors:
        return "there are no tensors"
    extra, missing = tensors.keys() - wanted.keys(), wanted.keys() - tensors.keys()
    known = len(wanted) - len(missing)
    prefix = foreign_prefix(sorted(extra), wanted)
    if prefix and (count := sum(name.startswith(prefix) for name in tensors)) > known:
        return f"{count} of {len(tensors)} names begin with {prefix!r}: remove it"
    if 2 * known < min(len(tensors), len(wanted)):
        return _owner([*tensors][:MAX_LOOKED_AT])
    if missing and not extra and {wanted[name][0].name for name in missing} <= classifiers:
        return "there is no classifier"
    if missing or extra:
        return OTHER_DEPTH
    if {layer for layer, *_ in misshaped.values()} <= classifiers:
        return OTHER_CLASSES
    kernels = [(given, ours) for _, given, ours in misshaped.values() if len(given) > 1]
    if kernels and all(sorted(given) == sorted(ours) for given, ours in kernels):
        return "the axes of its kernels are in another order than torch's (out, in, h, w)"
    return "all names fit, the shapes do not: it is of another width"


def _owner(names):
    """Whose names these are, in a few words."""
    for library, pattern in OTHER_LIBRARIES.items():
        if 2 * sum(bool(re.search(pattern, name)) for name in names) > len(names):
            return f"its names are those of {library}, not of torchvision or timm"
    counts = [sum(map(bool, map(_pattern(table).fullmatch, names))) for *_, table in TABLES]
    best = counts.index(max(counts))
    if 2 * counts[best] <= len(names):
        return "its names are those of no network that is known"
    family, sources, _ = TABLES[best]
    return f"its names are those of {sources[0]}'s {family}"


def _pattern(table):
    """What the published names of a table of PUBLISHED_NAMES look like, as a pattern."""
    modules = (r"\.".join(map(_part, template.split("."))) for template in table.values())
    return re.compile(rf"({'|'.join(modules)})(\.\w+)?")


def _part(part):
    """The pattern of one part of a template: `#token` is a number, a group any word."""
    head, marked, _ = part.partition("#")
    return re.sub(r"\\(\d|g<\d>)", r"\\w+", head) + (r"\d+" if marked else "")
