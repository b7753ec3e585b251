"""The names of the networks, by pattern: `models.list("resnet*", pretrained=True)`."""

import builtins
import fnmatch
from collections.abc import Sequence

from cvcourse.models.pretrained import catalog
from cvcourse.models.registry import REGISTRY

NAMES = tuple(REGISTRY)  # in course order


def list(
    pattern: str | Sequence[str] | None = None, *, pretrained: bool | None = None
) -> builtins.list[str]:
    """List the names of the networks that `build` takes.

    Args:
        pattern: Shell-style wildcards such as "resnet*", or several of them; a name that matches
            one of them is listed. Defaults to all names.
        pretrained: True lists only networks that have published weights, False only those that
            have none. Defaults to both.

    Returns:
        The names, in course order; an empty list if none matches.

    >>> list("vgg1[36]*")
    ['vgg13', 'vgg16', 'vgg13_bn', 'vgg16_bn', 'vgg16_cifar']
    >>> list(["alexnet*", "zfnet"], pretrained=True)
    ['alexnet']
    """
    patterns = ["*"] if pattern is None else [pattern] if isinstance(pattern, str) else pattern
    published = {row.architecture for row in catalog.published()}
    return [
        name
        for name in NAMES
        if any(fnmatch.fnmatchcase(name, one) for one in patterns)
        and pretrained in (None, name in published)
    ]
