"""The gradient check itself is checked: right slopes, wrong ones, and kinks."""

import importlib
import pathlib

import numpy as np
import pytest
from golden import course_fixtures as course

from cvcourse.classic import gradient_check

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 3))


def smooth(x):
    return float((np.tanh(A @ x) ** 2).sum())


def smooth_gradient(x):
    t = np.tanh(A @ x)
    return A.T @ (2 * t * (1 - t**2))


ALL = list(np.ndindex(3, 2))


def test_a_right_gradient():
    x = RNG.normal(size=(3, 2))
    before = x.copy()
    checks = gradient_check(smooth, x, smooth_gradient(x), ALL)
    assert max(check.error for check in checks) < 1e-7
    assert [check.index for check in checks] == ALL
    assert not any(check.kink for check in checks)
    np.testing.assert_array_equal(x, before)
    assert [check.analytic for check in checks] == smooth_gradient(x).ravel().tolist()


@pytest.mark.parametrize("factor", [0.0, 0.99, -1.0, 2.0, np.nan])
def test_a_wrong_gradient_is_no_kink(factor):
    x = RNG.normal(size=(3, 2))
    for check in gradient_check(smooth, x, factor * smooth_gradient(x), ALL):
        assert not check.right
        assert not check.kink


def test_the_error_is_the_notes_over_the_larger_slope():
    """|f'_a - f'_n| / max(|f'_a|, |f'_n|): of a slope of 3 that is said to be 4, a quarter."""
    (check,) = gradient_check(lambda x: 3 * float(x[0]), np.ones(1), np.full(1, 4.0), [(0,)])
    assert check.error == pytest.approx(1 / 4, rel=1e-6)


def hinges(x):
    """Bends at 0 and at 1e-7, 4e-6 and 1, beside a slope of 1."""
    at = np.array([0, 1e-7, 4e-6, 1])
    return float(np.maximum(x - at, 0).sum() + x.sum())


@pytest.mark.parametrize(
    ("x", "kinks"), [(np.zeros(4), [1, 1, 1, 0]), (np.full(4, 0.5), [0, 0, 0, 0])]
)
def test_a_kink_near_by_or_right_here_is_recognized(x, kinks):
    checks = gradient_check(hinges, x, 1.0 + (x > [0, 1e-7, 4e-6, 1]), list(np.ndindex(4)))
    assert [check.kink or check.right for check in checks] == [True] * 4
    # The third lies beyond the smaller step, which agrees and decides.
    assert [check.kink for check in checks] == [bool(k) for k in (*kinks[:2], 0, 0)]


def test_what_rounding_hides_is_not_called_wrong():
    x = np.array([1.0])
    (check,) = gradient_check(lambda x: 5.0 + 1e-12 * float(x[0]), x, np.zeros(1), [(0,)])
    assert check.right


def test_every_fixture_of_the_course_is_met_by_functions_in_numpy():
    files = pathlib.Path(__file__).parent.glob("test_classic_*.py")
    modules = [importlib.import_module(file.stem) for file in files]
    tables = [getattr(module, "FIXTURES", {}) for module in modules]
    tables += [getattr(module, "OTHER_FIXTURES", ()) for module in modules]
    names = [name for table in tables for name in table]
    assert sorted(names) == sorted(course.ids())  # each once
