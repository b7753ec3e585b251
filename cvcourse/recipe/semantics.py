"""Version number of the meaning of settings, which config.json records.

It increases when the same settings lead to another training: other pixels, another schedule,
another network. A run that an older version started must not continue as a mixture of both.
"""

from typing import Any

from cvcourse import __version__

SEMANTICS = 3
CHANGES = {  # number: last version with it, and the changes up to the next number
    1: (
        "0.1.0",
        "photos are rotated by their EXIF tag and transparent pixels are white, arrays in 0..1, "
        "-1..1 or 16 bits are scaled to 0..255, --limit takes examples of every class",
    ),
    2: (
        "0.2.0",
        "CIFAR ResNets pad strided maps equally on both sides, stochastic depth and NASNets drop "
        "paths as their papers do, schedules and averages count updates when gradients are "
        "accumulated, --schedule=step drops a step earlier, adamw and translate's Adam add epsilon "
        "outside the root, soft attention in captions has a scalar gate",
    ),
}
FIRST: dict[str, Any] = {  # for a config.json of a version that did not write these keys
    "recipe": None,
    "version": "0.1.0",
    "semantics": 1,
    "sources": {},  # hashes of the source files that fields name: {field: SHA-256}
}


def origin(recipe, sources=None):
    """Describe the code that starts a run, for its config.json.

    Args:
        recipe: Name of the recipe.
        sources: {field: hash} of the source files that its config names; None for none.

    Returns:
        A dict with the keys of `FIRST`, without sources if there are none.
    """
    known = {"recipe": recipe, "version": __version__, "semantics": SEMANTICS}
    return known | ({"sources": sources} if sources else {})


def change_since(version, number):
    """Describe how the meaning of a run's settings has changed, and how to resume the run.

    Args:
        version: Version of cvcourse that started the run.
        number: Its semantics number.

    Returns:
        The end of a sentence about the run; "" if settings have the same meaning here.
    """
    if number == SEMANTICS:
        return ""
    install, _ = CHANGES.get(number, (version, ""))
    what = "; ".join(CHANGES[n][1] for n in range(number, SEMANTICS) if n in CHANGES)
    return (
        f"version {version} started it, in which settings have another meaning than in "
        f"{__version__}{what and f' (since then {what})'}: install version {install} to resume it, "
        "or choose another directory"
    )
