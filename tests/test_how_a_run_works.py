"""The places in the code that the documents name are there."""

import ast
import pathlib
import re
import sys
import textwrap
import types

import keras
import numpy as np
import pytest
import test_layering

ROOT = pathlib.Path(__file__).parent.parent
PLACE = re.compile(r"`([\w/.]+\.py):(\w+)`")
DOCUMENTS = ("cvcourse/training/README.md", "CONTRIBUTING.md")


def places(document):
    return PLACE.findall((ROOT / document).read_text("utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_place_that_a_document_names_is_there(document):
    found = places(document)
    assert len(found) >= 5
    for file, name in found:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        named = {
            node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        }
        named |= {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert name in named, f"{document} names {file}:{name}"


def test_how_a_run_works_has_a_dozen_steps_or_more_each_with_its_place():
    text = (ROOT / "cvcourse/training/README.md").read_text("utf-8")
    steps = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(steps) >= 12
    assert all(PLACE.search(step) for step in steps)


def test_the_arrows_in_contributing_are_those_that_are_tested():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    written = {
        package: tuple(set(re.findall(r"`(\w+)`", cell)) for cell in cells)
        for package, *cells in rows
        if package in test_layering.ARROWS
    }
    tested = {
        package: (ours, heavy | test_layering.INSIDE_FUNCTIONS.get(package, set()))
        for package, (ours, heavy) in test_layering.ARROWS.items()
    }
    assert written == tested


def test_the_example_of_a_regularizer_does_what_it_says(monkeypatch):
    """Its code, put into `train` as the document tells, is the loss of Pereyra et al., eq. 2."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    text = text[text.index("### Add a regularizer") : text.index("## Add a recipe")]
    blocks = re.findall(r"   ```python\n(.*?)   ```", text, re.DOTALL)
    technique, field, lines, row = map(textwrap.dedent, blocks)
    source = (ROOT / "recipes" / "train.py").read_text("utf-8")
    for before, added in (("label_smoothing: float", field), ("model.compile(", lines)):
        assert source.count(f"    {before}") == 1
        added = textwrap.indent(added, "    ")
        source = source.replace(f"    {before}", f"{added}    {before}")
    train = types.ModuleType("train_with_a_penalty")
    train.__file__ = "train.py"
    monkeypatch.setitem(sys.modules, train.__name__, train)  # where its recipe is looked for
    exec(f"import keras\n{technique}\n{source}", vars(train))
    ((_, flags),) = ast.literal_eval(f"{{{row}}}").items()
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = train.compiled(train.Config(**flags), net, steps_per_epoch=1).loss
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([0, 1, 2, 2, 0])
    expected = -np.log(p[range(5), labels]) + 0.1 * (p * np.log(p)).sum(axis=1)
    np.testing.assert_allclose(loss(labels, logits), expected.mean(), rtol=1e-5)
