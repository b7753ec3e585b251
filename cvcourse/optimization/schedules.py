"""Learning rates over a run: warm up in a straight line, then fall in one of the course's ways.

Warm-up and linear scaling: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2. Steps:
He et al. 2016, section 4.2. Exponential and 1/t: CS231n notes,
https://cs231n.github.io/neural-networks-3/#anneal. Inverse square root: Vaswani et al. 2017,
https://arxiv.org/abs/1706.03762, eq. 3. Cosine and restarts: Loshchilov & Hutter 2017,
https://arxiv.org/abs/1608.03983, eq. 5. Shifted cosine: Huang et al. 2017,
https://arxiv.org/abs/1704.00109, eq. 2. One cycle: Smith 2018, https://arxiv.org/abs/1803.09820,
section 4.1.

A step is an update of the weights, whatever the number of batches whose gradients it averages.
"""

import itertools
import math

import keras
import numpy as np
from keras import ops
from keras.optimizers import schedules

from cvcourse.errors import pick

STEPS_AT = (0.5, 0.75)  # of the steps after the warm-up, He et al.: 32k and 48k of 64k iterations
FACTOR = 0.1  # at each of them
END = 0.01  # of the peak, where the schedules end that never reach 0
ROUNDED_DOWN = 1 - 2**-23  # in float32 a restart must not fall into the cycle before
CYCLE = 0.9  # of the run, Smith: "smaller than the total number of iterations"
BOTTOM = 0.1  # of the peak, where the one cycle begins and ends
LAST = 0.001  # of the peak, after the cycle: orders of magnitude below its bottom

SCHEDULES = {  # name: (peak rate, steps from the peak to the end, …) -> schedule
    "constant": lambda peak, steps, **_: schedules.PiecewiseConstantDecay([steps], [peak, peak]),
    # Keras gives a boundary the rate before it, a milestone has the rate after it.
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
EXTENDABLE = ("constant", "inverse_sqrt")  # the others would have differed from the start
CYCLIC = ("cosine_restarts", "shifted_cosine")


@keras.saving.register_keras_serializable("cvcourse")
class WarmUp(schedules.LearningRateSchedule):
    """From peak / warmup_steps up to `peak` in `warmup_steps` equal steps, then `after`."""

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
    """The rates of `schedule` from its step `by` on; it may be negative, to start later."""

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
    """`peak` times sqrt(warmup_steps / t), t = 1, 2, … counted from the start of the warm-up.

    Without a warm-up it is peak / sqrt(t).
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
    """Straight up from BOTTOM to `peak`, as long down again, and on to LAST, in `steps` steps.

    Smith lowers the momentum while the rate is high; here it stays.
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
    name, peak, *, steps, warmup_steps=0, cycles=None, milestones=None, factor=FACTOR
) -> float | schedules.LearningRateSchedule:
    """The learning rate as a function of the step.

    Args:
        name: Key of `SCHEDULES`.
        peak: Highest rate.
        steps: Length of the whole run, warm-up included.
        warmup_steps: Steps of rising rate at its start.
        cycles: For cosine_restarts (cycles of equal length) and shifted_cosine (of whole steps, so
            that the last one may be cut short): number of times the cosine falls after the warm-up.
        milestones: For step: the steps, counted from the start of the run, from which on the rate
            is `factor` times what it was. Defaults to `STEPS_AT` of the steps after the warm-up.
        factor: For step: between 0 and 1.

    Returns:
        A number for the constant rate without a warm-up, else a Keras schedule: step -> rate.

    Raises:
        ValueError: If the name is unknown, the warm-up leaves nothing after it, or cycles,
            milestones and factor do not fit the schedule or the steps.
    """
    make, peak = pick("schedule", name, SCHEDULES), float(peak)
    if (cycles is not None) != (name in CYCLIC):
        raise ValueError(
            f"the schedule {name} {'needs' if name in CYCLIC else 'has no'} cycles; received "
            f"cycles={cycles}; those with cycles are {' and '.join(CYCLIC)}"
        )
    if name != "step" and (milestones is not None or factor != FACTOR):
        raise ValueError(
            f"only the schedule step has milestones and a factor; received {name} with "
            f"milestones={milestones}, factor={factor}"
        )
    if not 0 < factor < 1:
        raise ValueError(f"a factor lies between 0 and 1; received {factor}")
    if name == "constant" and not warmup_steps:
        return peak
    if warmup_steps >= steps:
        raise ValueError(f"a warm-up of {warmup_steps} steps leaves nothing of {steps}: shorten it")
    left = steps - warmup_steps
    if cycles is not None and not 1 <= cycles <= left:
        raise ValueError(f"{left} steps hold 1 to {left} cycles; received cycles={cycles}")
    if milestones is None:
        milestones = [warmup_steps + at * left for at in STEPS_AT]
    elif len(milestones) == 0 or not all(
        a < b for a, b in itertools.pairwise([warmup_steps, *milestones, steps])
    ):
        raise ValueError(
            f"milestones ascend between the {warmup_steps} steps of the warm-up and the {steps} of "
            f"the run; received {', '.join(f'{m:g}' for m in milestones) or 'none'}"
        )
    after = make(
        peak,
        left,
        warmup_steps=warmup_steps,
        cycles=cycles,
        # The first whole step that has reached it; rounded, since 0.7 * 10 is more than 7.
        milestones=[math.ceil(round(m - warmup_steps, 6)) for m in milestones],
        factor=factor,
    )
    return WarmUp(peak, warmup_steps, after) if warmup_steps else after


def schedule_of(config, steps_per_epoch) -> float | schedules.LearningRateSchedule:
    """Make the learning rate of a run, by updates of its weights.

    What is left of the batches of an epoch is accumulated into the next; of the run, is lost.

    Args:
        config: Config with the fields epochs, learning_rate and schedule. Where it has them,
            those of `recipe.groups.ScheduleFields` count, and batch_size, scale_learning_rate and
            accumulate of `train`.
        steps_per_epoch: Batches of an epoch.

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
            f"--accumulate={accumulate} is more than the {config.epochs * steps_per_epoch} "
            "batches of the run: the weights would never move"
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


def sampled_schedule(config, per_epoch=50):
    """Sample the learning rate of a run for a smooth curve.

    Args:
        config: As in `schedule_of`.
        per_epoch: Samples of an epoch.

    Returns:
        A pair of arrays (epochs * per_epoch,): epochs that have passed, and rates.
    """
    rate, steps = schedule_of(config, per_epoch), np.arange(per_epoch * config.epochs)
    rates = rate(steps) if callable(rate) else np.full(len(steps), rate)
    return steps / per_epoch, np.asarray(rates)


def linear_scaling(rate, batch_size, base):
    """The rate for batches of `batch_size` where `rate` is right for batches of `base` examples.

    "When the minibatch size is multiplied by k, multiply the learning rate by k": Goyal et al.
    2017, section 2.1, whose base is 256.
    """
    return rate * batch_size / base
