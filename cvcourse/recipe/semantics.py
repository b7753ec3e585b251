"""What the settings of a run mean, as a number that config.json records.

It is raised when the same settings would train something else: other pixels, another schedule,
another net. A run that an older version began must not go on as a mixture of both.
"""

from cvcourse import __version__

SEMANTICS = 3
CHANGES = {  # a number: the last version that has it, and what the next number changed
    1: (
        "0.1.0",
        "photos are turned as EXIF says and shown on white where transparent, arrays in 0..1, "
        "-1..1 or 16 bits are brought to 0..255, --limit takes examples of every class",
    ),
    2: (
        "0.2.0",
        "CIFAR ResNets pad strided maps on both sides alike, stochastic depth and NASNets drop "
        "paths as their papers do, schedules and averages count updates where gradients are "
        "accumulated, --schedule=step drops a step earlier, adamw and translate's Adam add epsilon "
        "outside the root, soft attention in captions has a gate of one number",
    ),
}
FIRST = {  # of a config.json that lacks them
    "recipe": None,
    "version": "0.1.0",
    "semantics": 1,
    "sources": {},  # hashes of the source files that fields name: {field: SHA-256}
}


def origin(recipe, sources=None):
    """Describe the code that begins a run, for its config.json beside the config's fields.

    Args:
        recipe: Name of the recipe.
        sources: {field: hash} of the source files that its config names; None for none.

    Returns:
        A dict with the keys of `FIRST`, but for sources where there are none.
    """
    known = {"recipe": recipe, "version": __version__, "semantics": SEMANTICS}
    return known | ({"sources": sources} if sources else {})


def change_since(version, number):
    """Say what a run's settings no longer mean, and how to go on with it.

    Args:
        version: Version of cvcourse that began the run.
        number: Its semantics number.

    Returns:
        The end of a sentence that begins with the run; "" if settings mean the same here.
    """
    if number == SEMANTICS:
        return ""
    install, _ = CHANGES.get(number, (version, ""))
    what = "; ".join(CHANGES[n][1] for n in range(number, SEMANTICS) if n in CHANGES)
    return (
        f"version {version} began it, for which settings mean something else than for "
        f"{__version__}{what and f' (since then {what})'}: install version {install} to go on with "
        "it, or choose another directory"
    )
