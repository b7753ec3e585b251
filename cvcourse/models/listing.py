"""The names of the networks, by pattern: `models.list("resnet*", pretrained=True)`."""

import builtins
import fnmatch
from collections.abc import Iterable

from cvcourse.models.pretrained import catalog
from cvcourse.models.registry import REGISTRY

NAMES = tuple(REGISTRY)  # in course order


def list(
    pattern: str | Iterable[str] | None = None, *, pretrained: bool | None = None
) -> builtins.list[str]:
    """List the names of the networks that `build` takes.

    Args:
        pattern: Shell-style wildcards such as "resnet*", or several of them; a name that matches
            one of them is listed, in upper or lower case. Defaults to all names.
        pretrained: True lists only networks that have published weights, False only those that
            have none. Defaults to both.

    Returns:
        The names, in course order; an empty list if none matches.

    Raises:
        ValueError: If a pattern is no text, or `pretrained` is neither a bool nor None.

    >>> list("vgg1[36]*")
    ['vgg13', 'vgg16', 'vgg13_bn', 'vgg16_bn', 'vgg16_cifar']
    >>> list(["alexnet*", "zfnet"], pretrained=True)
    ['alexnet']
    """
    if pretrained not in (None, True, False):
        raise ValueError(
            f"pretrained is True, False or None; received {pretrained!r}: "
            "models.pretrained.published() lists the sets of weights with their sources"
        )
    given = "*" if pattern is None else pattern
    patterns = [given] if isinstance(given, str) or not isinstance(given, Iterable) else [*given]
    if wrong := [one for one in patterns if not isinstance(one, str)]:
        raise ValueError(f'a pattern is a text such as "resnet*"; received {wrong[0]!r}')
    published = {row.architecture for row in catalog.published()}
    return [
        name
        for name in NAMES
        if any(fnmatch.fnmatchcase(name, one.lower()) for one in patterns)
        and pretrained in (None, name in published)
    ]
