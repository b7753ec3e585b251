"""Tables over the functions of `cvcourse.classic`: the course's fixtures, and gradients.

A file of tests has a table FIXTURES, {id of a fixture: function of its inputs and hyperparameters},
and GRADIENTS, {name: Pair}. A fixture's function returns {name: array}; that of kind "gradient"
returns the Pair whose gradients are checked.
"""

import dataclasses
import typing

import numpy as np
import pytest
import tensorflow as tf
from golden import course_fixtures as course

from cvcourse import classic

SAMPLE = 40  # elements of an input whose slopes are checked
ERROR = 1e-6  # of a gradient by hand from that by automatic differentiation


@dataclasses.dataclass
class Pair:
    """A forward and a backward pass, and inputs of the former.

    Args:
        forward: Function of the inputs -> (out, cache), or a loss function -> (loss, gradients).
        backward: Function (dout, cache) -> gradients of `inputs` in their order; none: a loss.
        inputs: {name: float64 array}; gradients are checked for each.
        keras: Function of tensors in this order -> tensor that `forward` should equal; none:
            only central differences are compared.
        dout: Gradient of the outputs; none: random.
    """

    forward: typing.Callable
    backward: typing.Callable | None
    inputs: dict[str, np.ndarray]
    keras: typing.Callable | None = None
    dout: np.ndarray | None = None


def normal(*shape, seed=0):
    """Random float64 array."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def check_fixture(table, name):
    """Compare a function's results with the course's."""
    case = next(case for case in course.cases() if case.id == name)
    if case.kind == "gradient":
        hyperparameters = {k: v for k, v in case.hyperparameters.items() if k != "step"}
        inputs = dict(case.inputs)
        check_slopes(table[name](**inputs, **hyperparameters))
        return
    found = table[name](**case.inputs, **case.hyperparameters)
    for key, expected in case.expected.items():
        assert course.error(found[key], expected, case.measure) <= case.tolerance, key


def run(pair, inputs, dout=None):
    """Return the value (of the outputs weighted by dout), its gradients, the outputs, and dout."""
    out, cache = pair.forward(**inputs)
    if pair.backward is None:
        gradients, dout = cache, np.ones(())
    else:
        dout = pair.dout if pair.dout is not None else dout
        dout = normal(*np.shape(out), seed=1).astype(out.dtype) if dout is None else dout
        gradients = pair.backward(dout, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    gradients = dict(zip(inputs, gradients, strict=True))
    return float(np.sum(out * dout)), gradients, out, dout


def check_slopes(pair):
    """Compare gradients with central differences, by `gradient_check`."""
    inputs = {name: np.array(value, np.float64) for name, value in pair.inputs.items()}
    _, gradients, _, dout = run(pair, inputs)
    for name, x in inputs.items():
        indices = list(np.ndindex(x.shape))
        order = np.random.default_rng(0).permutation(len(indices))[:SAMPLE]
        gradient = gradients[name]
        assert gradient.shape == x.shape
        checks = classic.gradient_check(
            lambda _: run(pair, inputs, dout)[0], x, gradient, [indices[i] for i in order]
        )
        assert all(check.right or check.kink for check in checks), (name, checks)
        assert sum(check.kink for check in checks) <= len(checks) // 4


def check_against_keras(pair):
    """Compare outputs and gradients with Keras' and automatic differentiation, in float64."""
    _, gradients, out, dout = run(pair, pair.inputs)
    given = {name: tf.constant(value, "float64") for name, value in pair.inputs.items()}
    with tf.GradientTape() as tape:
        tape.watch(given)
        wanted = pair.keras(*given.values())
        value = tf.reduce_sum(wanted * dout)
    np.testing.assert_allclose(out, wanted, rtol=ERROR, atol=ERROR)
    slopes = tape.gradient(value, given)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, slopes[name], rtol=ERROR, atol=ERROR, err_msg=name)


def check_types(pair):
    """Results are in the precision of the inputs."""
    _, gradients, out, dout = run(pair, pair.inputs)
    single = {name: value.astype("float32") for name, value in pair.inputs.items()}
    small = dataclasses.replace(pair, dout=dout.astype("float32"))
    _, found, out32, _ = run(small, single)
    for name, gradient in gradients.items():
        assert found[name].dtype == np.float32, name
        np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-4, err_msg=name)
    if np.ndim(out):
        assert out32.dtype == np.float32
    np.testing.assert_allclose(out32, out, rtol=1e-3, atol=1e-4)


def check_integers(pair):
    """Integers, such as pixels, give the results of equal floats."""
    _, _, _, dout = run(pair, pair.inputs)
    first, value = next(iter(pair.inputs.items()))
    codes = np.abs(3 * value).astype("uint8")
    results = [
        run(dataclasses.replace(pair, dout=dout), pair.inputs | {first: x})
        for x in (codes, codes.astype("float64"))
    ]
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-6, atol=1e-6)
    for name, gradient in results[1][1].items():
        np.testing.assert_allclose(results[0][1][name], gradient, rtol=1e-6, atol=1e-6)


def check_gradient_shapes(pair):
    """A backward pass refuses a gradient that does not have the outputs' shape."""
    out, cache = pair.forward(**pair.inputs)
    for shape in ((*out.shape, 2), (out.shape[0] + 1, *out.shape[1:]), (1,) * out.ndim):
        with pytest.raises(ValueError):
            pair.backward(np.ones(shape), cache)
