"""The places in the code that the documents name are there."""

import ast
import pathlib
import re

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
