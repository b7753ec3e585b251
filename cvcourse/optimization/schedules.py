"""Learning rates over a run: warm up in a straight line, then fall in one of the course's ways.

Warm-up and linear scaling: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2. Steps:
He et al. 2016, section 4.2. Exponential and 1/t: CS231n notes,
https://cs231n.github.io/neural-networks-3/#anneal. Inverse square root: Vaswani et al. 2017,
https://arxiv.org/abs/1706.03762, eq. 3. Cosine and restarts: Loshchilov & Hutter 2017,
https://arxiv.org/abs/1608.03983, eq. 5. Shifted cosine: Huang et al. 2017,
https://arxiv.org/abs/1704.00109, eq. 2. One cycle: Smith 2018, https://arxiv.org/abs/1803.09820.
"""

import keras
from keras import ops
from keras.optimizers import schedules

from cvcourse.errors import pick

STEPS_AT = (0.5, 0.75)  # of the run, He et al.: 32k and 48k of 64k iterations
END = 0.01  # of the peak, where the schedules end that never reach 0; that of the steps
CYCLE = 0.9  # of the run, Smith: "smaller than the total number of iterations"
BOTTOM = 0.1  # of the peak, where the one cycle begins and ends
LAST = 0.001  # of the peak, after the cycle: orders of magnitude below its bottom

SCHEDULES = {  # name: (peak rate, steps from the peak to the end, …) -> schedule
    "constant": lambda peak, steps, **_: schedules.PiecewiseConstantDecay([steps], [peak, peak]),
    "step": lambda peak, steps, **_: schedules.PiecewiseConstantDecay(
        [round(at * steps) for at in STEPS_AT], [peak, peak / 10, peak / 100]
    ),
    "exponential": lambda peak, steps, **_: schedules.ExponentialDecay(peak, steps, END),
    "inverse_time": lambda peak, steps, **_: schedules.InverseTimeDecay(peak, steps, 1 / END - 1),
    "linear": lambda peak, steps, **_: schedules.PolynomialDecay(peak, steps, 0.0),
    "cosine": lambda peak, steps, **_: schedules.CosineDecay(peak, steps),
    "inverse_sqrt": lambda peak, steps, *, warmup_steps, **_: InverseSqrt(peak, warmup_steps),
    "cosine_restarts": lambda peak, steps, *, cycles, **_: schedules.CosineDecayRestarts(
        peak, steps / cycles, t_mul=1.0
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


def schedule(name, peak, *, steps, warmup_steps=0, cycles=None):
    """The learning rate as a function of the step: a number, or a Keras schedule.

    `peak` is the highest rate, `steps` the length of the whole run, warm-up included; `cycles` is
    how often the cosine falls in what is left of it, for cosine_restarts (cycles of equal length)
    and shifted_cosine (of whole steps, so the last one may be cut short). Raises ValueError for an
    unknown name, a warm-up that leaves nothing after it, and cycles where there are none.
    """
    make, peak = pick("schedule", name, SCHEDULES), float(peak)
    if (cycles is not None) != (name in CYCLIC):
        raise ValueError(
            f"the schedule {name} {'needs' if name in CYCLIC else 'has no'} cycles; received "
            f"cycles={cycles}; those with cycles are {' and '.join(CYCLIC)}"
        )
    if name == "constant" and not warmup_steps:
        return peak
    if warmup_steps >= steps:
        raise ValueError(f"a warm-up of {warmup_steps} steps leaves nothing of {steps}: shorten it")
    left = steps - warmup_steps
    if cycles is not None and not 1 <= cycles <= left:
        raise ValueError(f"{left} steps hold 1 to {left} cycles; received cycles={cycles}")
    after = make(peak, left, warmup_steps=warmup_steps, cycles=cycles)
    return WarmUp(peak, warmup_steps, after) if warmup_steps else after


def linear_scaling(rate, batch_size, base):
    """The rate for batches of `batch_size` where `rate` is right for batches of `base` examples.

    "When the minibatch size is multiplied by k, multiply the learning rate by k": Goyal et al.
    2017, section 2.1, whose base is 256.
    """
    return rate * batch_size / base
