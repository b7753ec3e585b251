"""Learning-rate schedules: linear warm-up, then one of the course's decays.

Warm-up and linear scaling: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2. Steps:
He et al. 2016, section 4.2. Exponential and 1/t: CS231n notes,
https://cs231n.github.io/neural-networks-3/#anneal. Inverse square root: Vaswani et al. 2017,
https://arxiv.org/abs/1706.03762, eq. 3. Cosine and restarts: Loshchilov & Hutter 2017,
https://arxiv.org/abs/1608.03983, eq. 5. Shifted cosine: Huang et al. 2017,
https://arxiv.org/abs/1704.00109, eq. 2. One cycle: Smith 2018, https://arxiv.org/abs/1803.09820,
section 4.1.

A step is an update of the weights, which may average the gradients of several batches.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops
from keras.optimizers import schedules

from cvcourse.errors import pick

Rate: TypeAlias = float | schedules.LearningRateSchedule  # number or schedule

STEPS_AT = (0.5, 0.75)  # of the steps after the warm-up, He et al.: 32k and 48k of 64k iterations
FACTOR = 0.1  # at each of them
END = 0.01  # of the peak: the last rate of schedules that never reach 0
ROUNDED_DOWN = 1 - 2**-23  # so that in float32 no restart falls into the previous cycle
CYCLE = 0.9  # of the run, Smith: "smaller than the total number of iterations"
BOTTOM = 0.1  # of the peak: where the cycle begins and ends
LAST = 0.001  # of the peak, after the cycle: orders of magnitude below its bottom

SCHEDULES = {  # name: (peak rate, steps from the peak to the end, …) -> schedule
    "constant": lambda peak, steps, **_: schedules.PiecewiseConstantDecay([steps], [peak, peak]),
    # In Keras a boundary has the rate before it, a milestone has the rate after it.
    "step": lambda peak, steps, *, milestones, factor, **_: schedules.PiecewiseConstantDecay(
        [milestone - 1 for milestone in milestones],
        [peak * factor**drops for drops in range(len(milestones) + 1)],
    ),
    "exponential": lambda peak, steps, **_: schedules.ExponentialDecay(peak, steps, END),
    "inverse_time": lambda peak, steps, **_: schedules.InverseTimeDecay(peak, steps, 1 / END - 1),
    "linear": lambda peak, steps, **_: schedules.PolynomialDecay(peak, steps, 0.0),
    "cosine": lambda peak, steps, **_: schedules.CosineDecay(peak, steps),
    "inverse_sqrt": lambda peak, steps, *, warmup_steps, **_: InverseSqrt(peak, warmup_steps),
    "cosine_restarts": lambda peak, steps, *, cycles, **_: schedules.CosineDecayRestarts(
        peak, steps / cycles * ROUNDED_DOWN, t_mul=1.0
    ),
    "one_cycle": lambda peak, steps, **_: OneCycle(peak, steps),
    # Eq. 2 counts steps from 1 and takes mod(t - 1, ceil(T / M)): restarts of whole steps.
    "shifted_cosine": lambda peak, steps, *, cycles, **_: schedules.CosineDecayRestarts(
        peak, -(-steps // cycles), t_mul=1.0
    ),
}
EXTENDABLE = ("constant", "inverse_sqrt")  # the others depend on the length of the run
CYCLIC = ("cosine_restarts", "shifted_cosine")


@keras.saving.register_keras_serializable("cvcourse")
class WarmUp(schedules.LearningRateSchedule):
    """Linear rise from peak / warmup_steps to `peak` in `warmup_steps` steps, then `after`."""

    def __init__(self, peak, warmup_steps, after):
        self.peak, self.warmup_steps, self.after = peak, warmup_steps, after

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rising = self.peak * (step + 1) / self.warmup_steps
        falling = self.after(ops.maximum(step - self.warmup_steps, 0.0))
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        return dict(peak=self.peak, warmup_steps=self.warmup_steps, after=self.after)

    @classmethod
    def from_config(cls, config):
        after = keras.saving.deserialize_keras_object(config.pop("after"))
        return cls(**config, after=after)


@keras.saving.register_keras_serializable("cvcourse")
class Shifted(schedules.LearningRateSchedule):
    """The rates of `schedule` from its step `by` on; a negative `by` starts later."""

    def __init__(self, schedule, by):
        self.schedule, self.by = schedule, by

    def __call__(self, step):
        return self.schedule(step + self.by)

    def get_config(self):
        return dict(schedule=self.schedule, by=self.by)

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["by"])


@keras.saving.register_keras_serializable("cvcourse")
class InverseSqrt(schedules.LearningRateSchedule):
    """`peak` times sqrt(warmup_steps / t), with t = 1, 2, … from the start of the warm-up.

    Without warm-up, peak / sqrt(t).
    """

    def __init__(self, peak, warmup_steps=0):
        self.peak, self.warmup_steps = peak, warmup_steps

    def __call__(self, step):
        t = self.warmup_steps + 1 + ops.cast(step, "float32")
        return self.peak * ops.sqrt(max(self.warmup_steps, 1) / t)

    def get_config(self):
        return dict(peak=self.peak, warmup_steps=self.warmup_steps)


@keras.saving.register_keras_serializable("cvcourse")
class OneCycle(schedules.LearningRateSchedule):
    """Linear rise from BOTTOM to `peak`, equally long fall, then on to LAST, in `steps` steps.

    Smith lowers the momentum while the rate is high; here it is constant.
    """

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        done = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        cycle = 1 - (1 - BOTTOM) * ops.abs(2 * done / CYCLE - 1)
        tail = LAST + (BOTTOM - LAST) * (1 - done) / (1 - CYCLE)
        return self.peak * ops.where(done < CYCLE, cycle, tail)

    def get_config(self):
        return dict(peak=self.peak, steps=self.steps)


def schedule(
    name: str,
    peak: float,
    *,
    steps: int,
    warmup_steps: int = 0,
    cycles: int | None = None,
    milestones: Sequence[float] | None = None,
    factor: float = FACTOR,
) -> Rate:
    """Create a learning-rate schedule.

    Args:
        name: Key of `SCHEDULES`.
        peak: Peak learning rate.
        steps: Number of steps of the whole run, including the warm-up.
        warmup_steps: Number of steps of linear warm-up at its start.
        cycles: For cosine_restarts (cycles of equal length) and shifted_cosine (of whole steps, so
            that the last one may be cut short): number of cosine cycles after the warm-up.
        milestones: For step: the steps, counted from the start of the run, at which the rate is
            multiplied by `factor`. Defaults to `STEPS_AT` of the steps after the warm-up.
        factor: For step: factor between 0 and 1.

    Returns:
        A number for the constant rate without a warm-up, else a Keras schedule: step -> rate.

    Raises:
        ValueError: If the name is unknown, the warm-up is not shorter than the run, or cycles,
            milestones and factor do not fit the schedule or the steps.

    >>> rate = schedule("cosine", 0.1, steps=100, warmup_steps=10)
    >>> [round(float(rate(step)), 3) for step in (0, 9, 55, 100)]
    [0.01, 0.1, 0.05, 0.0]
    """
    make, peak = pick("schedule", name, SCHEDULES), float(peak)
    if (cycles is not None) != (name in CYCLIC):
        raise ValueError(
            f"the schedule {name} {'needs' if name in CYCLIC else 'has no'} cycles; received "
            f"cycles={cycles}; the schedules with cycles are {' and '.join(CYCLIC)}"
        )
    if name != "step" and (milestones is not None or factor != FACTOR):
        raise ValueError(
            f"only the schedule step has milestones and a factor; received {name} with "
            f"milestones={milestones}, factor={factor}"
        )
    if not 0 < factor < 1:
        raise ValueError(f"factor must lie between 0 and 1; received {factor}")
    if name == "constant" and not warmup_steps:
        return peak
    if warmup_steps >= steps:
        raise ValueError(
            f"a warm-up of {warmup_steps} steps must be shorter than the run of {steps} steps"
        )
    left = steps - warmup_steps
    if cycles is not None and not 1 <= cycles <= left:
        raise ValueError(
            f"cycles must be 1 to {left}, the number of steps after the warm-up; received {cycles}"
        )
    if milestones is None:
        milestones = [warmup_steps + at * left for at in STEPS_AT]
    elif len(milestones) == 0 or not all(
        a < b for a, b in itertools.pairwise([warmup_steps, *milestones, steps])
    ):
        raise ValueError(
            f"milestones must ascend between the {warmup_steps} steps of the warm-up and the "
            f"{steps} of the run; received {', '.join(f'{m:g}' for m in milestones) or 'none'}"
        )
    after = make(
        peak,
        left,
        warmup_steps=warmup_steps,
        cycles=cycles,
        # The first whole step at or after it; rounded, since 0.07 * 100 is more than 7.
        milestones=[math.ceil(round(m - warmup_steps, 6)) for m in milestones],
        factor=factor,
    )
    return WarmUp(peak, warmup_steps, after) if warmup_steps else after


def schedule_of(config: Any, steps_per_epoch: int) -> Rate:
    """Create the learning-rate schedule of a run, counted in updates of its weights.

    If the last batches of an epoch are too few for an update, their gradients are accumulated into
    the next epoch; at the end of the run they are dropped.

    Args:
        config: Config with the fields epochs, learning_rate and schedule. The fields of
            `recipe.groups.ScheduleFields`, and batch_size, scale_learning_rate and accumulate of
            `train` are used if it has them.
        steps_per_epoch: Number of batches per epoch.

    Returns:
        A number for the constant rate without a warm-up, else a Keras schedule: update -> rate.

    Raises:
        ValueError: If the settings do not fit the schedule or the length of the run.
    """
    settings = vars(config)
    accumulate = settings.get("accumulate", 1)
    peak, base = config.learning_rate, settings.get("scale_learning_rate")
    if base:
        peak = linear_scaling(peak, config.batch_size * accumulate, base)
    updates = config.epochs * steps_per_epoch // accumulate
    if not updates:
        raise ValueError(
            f"--accumulate={accumulate} exceeds the {config.epochs * steps_per_epoch} batches of "
            "the run: there would be no update"
        )
    an_epoch = steps_per_epoch / accumulate
    unit = an_epoch if settings.get("milestone_unit") == "epochs" else 1
    milestones = settings.get("milestones")
    return schedule(
        config.schedule,
        peak,
        steps=updates,
        warmup_steps=round(settings.get("warmup_epochs", 0.0) * an_epoch),
        cycles=settings.get("cycles"),
        milestones=milestones and [unit * milestone for milestone in milestones],
        factor=settings.get("factor", FACTOR),
    )


def sampled_schedule(config: Any, per_epoch: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Sample the learning rate of a run, to draw it as a smooth curve.

    Args:
        config: Config as in `schedule_of`.
        per_epoch: Number of samples per epoch.

    Returns:
        A pair of arrays (epochs * per_epoch,): epochs since the start, and learning rates.

    >>> import types
    >>> config = types.SimpleNamespace(epochs=2, learning_rate=0.1, schedule="linear")
    >>> epochs, rates = sampled_schedule(config, per_epoch=2)
    >>> epochs.tolist(), [round(float(rate), 3) for rate in rates]
    ([0.0, 0.5, 1.0, 1.5], [0.1, 0.075, 0.05, 0.025])
    """
    rate, steps = schedule_of(config, per_epoch), np.arange(per_epoch * config.epochs)
    rates = rate(steps) if callable(rate) else np.full(len(steps), rate)
    return steps / per_epoch, np.asarray(rates)


def linear_scaling(rate: float, batch_size: int, base: int) -> float:
    """Scale a learning rate linearly with the batch size.

    "When the minibatch size is multiplied by k, multiply the learning rate by k": Goyal et al.
    2017, section 2.1, whose base is 256.

    Args:
        rate: Learning rate for batches of `base` examples.
        batch_size: Number of examples in a batch.
        base: Batch size of `rate`.

    Returns:
        Learning rate for batches of `batch_size` examples.

    >>> linear_scaling(0.1, batch_size=1024, base=256)
    0.4
    """
    return rate * batch_size / base
