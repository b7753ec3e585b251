"""Learning rates over a run: warm up in a straight line, then constant, steps, a line or a cosine.

Warm-up: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2.2. Cosine: Loshchilov &
Hutter 2017, https://arxiv.org/abs/1608.03983, eq. 5. Steps: He et al. 2016, section 4.2.
"""

import keras
from keras.optimizers import schedules

from cvcourse.errors import unknown

STEPS_AT = (0.5, 0.75)  # of the run, He et al.: 32k and 48k of 64k iterations

SCHEDULES = {  # name: (peak rate, steps from the peak to the end) -> schedule
    "constant": lambda peak, steps: schedules.PiecewiseConstantDecay([steps], [peak, peak]),
    "step": lambda peak, steps: schedules.PiecewiseConstantDecay(
        [round(at * steps) for at in STEPS_AT], [peak, peak / 10, peak / 100]
    ),
    "linear": lambda peak, steps: schedules.PolynomialDecay(peak, steps, 0.0),
    "cosine": lambda peak, steps: schedules.CosineDecay(peak, steps),
}
EXTENDABLE = ("constant",)  # the others would have differed from the start


@keras.saving.register_keras_serializable("cvcourse")
class WarmUp(schedules.LearningRateSchedule):
    """From peak / warmup_steps up to `peak` in `warmup_steps` equal steps, then `after`."""

    def __init__(self, peak, warmup_steps, after):
        self.peak, self.warmup_steps, self.after = peak, warmup_steps, after

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = self.peak * (step + 1) / self.warmup_steps
        falling = self.after(keras.ops.maximum(step - self.warmup_steps, 0.0))
        return keras.ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        return dict(peak=self.peak, warmup_steps=self.warmup_steps, after=self.after)

    @classmethod
    def from_config(cls, config):
        after = keras.saving.deserialize_keras_object(config.pop("after"))
        return cls(**config, after=after)


def schedule(name, peak, *, steps, warmup_steps=0):
    """The learning rate as a function of the step: a number, or a Keras schedule.

    `peak` is the highest rate, `steps` the length of the whole run, warm-up included. Raises
    ValueError for an unknown name or a warm-up that leaves nothing after it.
    """
    if name not in SCHEDULES:
        raise ValueError(unknown("schedule", name, SCHEDULES))
    if name == "constant" and not warmup_steps:
        return peak
    if warmup_steps >= steps:
        raise ValueError(f"a warm-up of {warmup_steps} steps leaves nothing of {steps}: shorten it")
    after = SCHEDULES[name](peak, steps - warmup_steps)
    return WarmUp(peak, warmup_steps, after) if warmup_steps else after
