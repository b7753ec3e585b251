"""Imports point one way: read from the source, nothing is imported."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LEAVES = {  # the standard library alone
    *(
        "deprecation",
        "errors",
        "files",
        "interrupt",
        "saved_model",
        "settings",
        "source_file",
        "startup",
    ),
    "state_dict",
}
ARRAYS = {"vocabulary"}  # leaves that need NumPy
# At their tops the standard library alone; who takes one of its strategies may import it.
STRATEGIES = {"distribution", "distribution_repairs"}
HEAVY = {"tensorflow", "keras_tuner", "tensorflow_datasets"}

RECIPES = [*(ROOT / "recipes").glob("*.py")]

# package: (packages of ours it may import, heavy ones it may import)
ARROWS = {
    "classic": (set(), set()),
    "compression": ({"layers"}, set()),
    "figures": (set(), set()),
    "layers": (set(), set()),
    "models": ({"layers"}, set()),
    "optimization": (set(), set()),
    "regularization": (set(), set()),
    "recipe": ({"distribution"}, set()),
    "sequence": ({"layers"}, set()),
    "visualization": ({"layers"}, set()),
    "data": ({"layers"}, {"tensorflow", "tensorflow_datasets"}),
    "training": (
        {
            "classic",
            "compression",
            "distribution",
            "figures",
            "layers",
            "optimization",
            "sequence",
            "visualization",
        },
        {"tensorflow"},
    ),
    "tuning": (
        {
            "data",
            "distribution",
            "figures",
            "layers",
            "models",
            "optimization",
            "recipe",
            "training",
        },
        {"keras_tuner"},
    ),
}
INSIDE_FUNCTIONS = {
    "layers": {"tensorflow"},  # its kernels that Keras does not call
    "sequence": {"tensorflow"},  # gradients, too
    "tuning": {"tensorflow"},  # TensorBoard's files
    "optimization": {"tensorflow"},  # gradients, for which Keras has no neutral function
    "visualization": {"tensorflow"},  # gradients
    "compression": {"tensorflow"},  # conversion to LiteRT
}


def imports(path, *, top_level_only=False):
    """The modules a file imports, dotted."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_package_has_its_arrows():
    folders = {path.parent.name for path in (ROOT / "cvcourse").glob("*/__init__.py")}
    assert folders == set(ARROWS)


@pytest.mark.parametrize("package", ARROWS)
def test_arrows(package):
    ours, heavy = ARROWS[package]
    for path in (ROOT / "cvcourse" / package).rglob("*.py"):
        for name in imports(path):
            top, *rest = name.split(".")
            if top == "cvcourse":
                known = {package, *ours, *LEAVES, *ARRAYS, "__version__"}
                assert rest[0] in known, f"{path} imports {name}"
            allowed = heavy | INSIDE_FUNCTIONS.get(package, set())
            assert top not in HEAVY - allowed, f"{path} imports {name}"
        for name in imports(path, top_level_only=True):
            assert name.split(".")[0] not in HEAVY - heavy, f"{path} imports {name} at its top"


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_and_command_line_start_at_once(leaf):
    for path in (ROOT / "cvcourse" / f"{leaf}.py", *(ROOT / "cvcourse" / "recipe").glob("*.py")):
        for name in imports(path, top_level_only=True):
            assert name.split(".")[0] not in {"keras", "numpy", *HEAVY}, f"{path} imports {name}"


def test_recipes_import_train_and_tune_at_most_and_nothing_heavy_at_the_top():
    for path in (ROOT / "recipes").rglob("*.py"):
        for name in imports(path):
            if name.startswith("cvcourse.recipes"):
                assert name.split(".")[-1] in ("train", "tune"), f"{path} imports {name}"
        for name in imports(path, top_level_only=True):
            top, *rest = name.split(".")
            light = {"recipe", "recipes", "distribution", *LEAVES}
            assert top not in {"keras", "numpy", *HEAVY}, f"{path} imports {name}"
            assert top != "cvcourse" or rest[0] in light, f"{path} imports {name}"


LONG = (
    *("train", "transfer", "tune", "caption", "char_lm", "translate"),
    *("snapshot_ensemble", "sequence_mnist", "optimizers"),
)


def test_recipes_stay_short():
    """What draws lives in figures, what belongs to a domain lives there."""
    lines = {path.stem: len(path.read_text().splitlines()) for path in RECIPES}
    assert max(lines.values()) <= 330
    assert sum(lines[name] for name in LONG) <= 2300


def test_setup_cfg_lists_every_package():
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    recipes = {ROOT / "recipes": ROOT / "cvcourse" / "recipes"}  # package_dir
    folders = [
        recipes.get(top, top) / path.parent.relative_to(top)
        for top in (ROOT / "cvcourse", *recipes)
        for path in top.rglob("__init__.py")
    ]
    assert listed == {".".join(folder.relative_to(ROOT).parts) for folder in folders}


def test_classic_needs_numpy_and_scipy_alone():
    """The course's first half by hand: a file can be read, copied and handed in."""
    for path in (ROOT / "cvcourse" / "classic").glob("*.py"):
        standard = {*sys.stdlib_module_names, "numpy", "scipy"}
        for name in imports(path):
            assert name.split(".")[0] in standard or name.startswith("cvcourse.classic"), name
        assert len(path.read_text("utf-8").splitlines()) <= 200, path.name
