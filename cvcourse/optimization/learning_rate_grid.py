"""Runs of an optimizer from the same weights, one for each learning rate of a grid."""

import functools
import math

from cvcourse.errors import RunError
from cvcourse.optimization._lbfgs import lbfgs
from cvcourse.optimization._newton import newton
from cvcourse.optimization.optimizers import optimizer

FULL_BATCH = {"lbfgs": lbfgs, "newton": newton}  # have no learning rate


def runs_by_rate(name, model, inputs, targets, loss, *, rates, steps, fit, note, weight_decay=0.0):
    """Train a model from its current weights, once for each learning rate.

    Args:
        name: A key of OPTIMIZERS, or "lbfgs" or "newton", which use all examples at each step.
        model: keras.Model; it is compiled, and its weights are restored at the end.
        inputs: Examples (n, ...) for L-BFGS and Newton.
        targets: Their targets (n, ...).
        loss: Function (targets, outputs) to minimize.
        rates: Learning rates.
        steps: Steps of L-BFGS and Newton.
        fit: Function of a callback `on_step` that trains the compiled model and calls `on_step`
            after each step.
        note: Function that returns {name: number} to record before the first step and after each.
        weight_decay: Decoupled weight decay of "adamw"; the others have none.

    Yields:
        Each run as a dict, while the model has the run's last weights: `learning_rate`, or None;
        `passes` over the examples; and a list of each number.

    Raises:
        ValueError: If `name` is unknown.
    """
    start = model.get_weights()

    def run(rate, fit):
        notes = [note()]
        history = fit(on_step=lambda: notes.append(note())) or {}
        return {
            "learning_rate": rate,
            "passes": history.get("passes", [*range(len(notes))]),
            **{key: [row[key] for row in notes] for key in notes[0]},
        }

    if name in FULL_BATCH:
        method = functools.partial(FULL_BATCH[name], model, inputs, targets)
        yield run(None, functools.partial(method, loss=loss, steps=steps))
    else:
        decay = weight_decay if name == "adamw" else 0.0
        model.compile(optimizer(name, model, rates[0], weight_decay=decay), loss)
        made = model.optimizer  # for mixed_float16, Keras' LossScaleOptimizer around ours
        made.build(model.trainable_variables)
        fresh = [variable.numpy() for variable in made.variables]
        for rate in rates:  # with one optimizer, so that its step is traced once
            model.set_weights(start)
            for variable, value in zip(made.variables, fresh, strict=True):
                variable.assign(value)
            made.learning_rate = rate
            yield run(rate, fit)
    model.set_weights(start)


def lowest_run(name, runs, cost):
    """Select the run with the smallest finite `cost(run)`.

    Args:
        name: The optimizer, for the error.
        runs: Iterable of runs, as `runs_by_rate` yields them.
        cost: Function run -> number.

    Returns:
        The run.

    Raises:
        RunError: If no cost is a finite number.
    """
    costs = [(cost(run), run) for run in runs]
    finite = [pair for pair in costs if math.isfinite(pair[0])]
    if not finite:
        raise RunError(f"{name} diverges at every learning rate: use lower --rates")
    return min(finite, key=lambda pair: pair[0])[1]
