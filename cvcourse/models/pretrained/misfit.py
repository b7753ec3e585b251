"""Diagnose why a state_dict does not fit a network, from its names and shapes."""

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
OTHER_LIBRARIES = {  # with other names for the same tensors: {library: pattern of a name}
    "Keras": r"(^|[./])(kernel|gamma|beta|moving_mean|moving_variance)(:0)?$",
    # vit.encoder.layer.0.…, convnext.encoder.stages.0.…, resnet.embedder.…
    "Hugging Face's transformers": r"\b(encoder\.(layers?|stages)\.\d|embeddings\.|embedder\.)",
}


def cause(tensors, wanted, misshaped, classifiers):
    """Describe the likeliest cause in a few words.

    Args:
        tensors: {name: array} as given.
        wanted: {name: (our layer, its variable)} of the tensors that the network needs.
        misshaped: {name: (name of our layer, given shape, shape of our variable)}.
        classifiers: Names of the network's layers with one output per class.

    Returns:
        The cause, or "" if none is likely.
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
    """Describe which library or network uses these names."""
    for library, pattern in OTHER_LIBRARIES.items():
        if 2 * sum(bool(re.search(pattern, name)) for name in names) > len(names):
            return f"its names are those of {library}, not of torchvision or timm"
    counts = [sum(map(bool, map(_pattern(table).fullmatch, names))) for *_, table in TABLES]
    best = counts.index(max(counts))
    if 2 * counts[best] <= len(names):
        return "no known network has its names"
    family, sources, _ = TABLES[best]
    return f"its names are those of {sources[0]}'s {family}"


def _pattern(table):
    """Return a pattern of the published names of a table of PUBLISHED_NAMES."""
    modules = (r"\.".join(map(_part, template.split("."))) for template in table.values())
    return re.compile(rf"({'|'.join(modules)})(\.\w+)?")


def _part(part):
    """Return the pattern of one part of a template: `#token` is a number, a group any word."""
    head, marked, _ = part.partition("#")
    return re.sub(r"\\(\d|g<\d>)", r"\\w+", head) + (r"\d+" if marked else "")
