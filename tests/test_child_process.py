"""Functions called in processes of their own: what comes back, and what is in the log."""

import functools
import os
import signal

import pytest

from cvcourse.errors import RunError, UsageError
from cvcourse.recipe.child_process import ChildProcess, require_importable


@pytest.mark.slow
def test_what_a_function_returns_or_raises_and_how_it_was_killed(tmp_path):
    calls = {"returns": (divmod, 7, 2), "raises": (int, "seven"), "prints": (print, "hello")}
    calls["dies"] = (os.kill, 0, signal.SIGKILL)  # 0: all processes of its session
    children = {
        name: ChildProcess(functools.partial(*call), tmp_path / name)
        for name, call in calls.items()
    }
    assert children["returns"].answer() == (3, 1)
    with pytest.raises(
        RunError, match=r"^ValueError: invalid literal for int.*: 'seven' \(--debug"
    ):
        children["raises"].answer()
    assert children["prints"].answer() is children["dies"].answer() is None
    codes = {name: child.returncode for name, child in children.items()}
    assert codes == {"returns": 0, "raises": 1, "prints": 0, "dies": -signal.SIGKILL}
    assert (tmp_path / "prints").read_text() == "hello\n"
    assert "Traceback" in (tmp_path / "raises").read_text()


def test_a_function_without_a_name_is_refused():
    require_importable(functools.partial(divmod, 7), "--workers")
    with pytest.raises(
        UsageError, match=r"^--workers: define functions for other processes at the top"
    ):
        require_importable(lambda: None, "--workers")
