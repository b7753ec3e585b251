"""Learning-rate range test: raise the rate from step to step, and see where the loss falls.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
https://arxiv.org/abs/1506.01186, section 3.3; rising exponentially, as the rates' scale is.
"""

import contextlib
import dataclasses

import keras
import numpy as np

MEMORY = 0.9  # of the running mean that smooths the loss: about ten steps
FALLEN = 0.1  # the interval begins where the loss has made this share of its fall
DIVERGED = 3  # times the loss at the start: nothing is learned beyond
NO_FALL = 0.05  # a fall below this share of the loss is noise


@dataclasses.dataclass(frozen=True)
class LearningRateRange:
    """Rates (n,) that rise, and the loss (n,) that was met at each, before its step."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def smoothed(self):
        """The running mean of the losses (n,), unbiased at its start."""
        mean, means = 0.0, []
        for step, loss in enumerate(self.losses, start=1):
            mean = MEMORY * mean + (1 - MEMORY) * loss
            means.append(mean / (1 - MEMORY**step))
        return np.array(means)

    @property
    def level(self):
        """The loss at rates that change nothing: the smoothed one's median over a quarter."""
        return float(np.median(self.smoothed[: max(len(self.rates) // 4, 1)]))

    @property
    def interval(self):
        """(lowest, highest) useful rate; None where the loss falls at none.

        From where the smoothed loss begins to fall to where it is smallest; this end is taken back
        by what a running mean comes late, and the other is at least as far below.
        """
        smoothed, level = self.smoothed, self.level
        fall = level - min(smoothed, default=level)
        if not fall >= NO_FALL * level:
            return None
        lowest = int(np.argmin(smoothed))
        begin = max(np.flatnonzero(smoothed[:lowest] >= level - FALLEN * fall), default=0)
        late = round(1 / (1 - MEMORY))
        end = max(lowest - late, 0)
        return float(self.rates[max(min(begin, end - late), 0)]), float(self.rates[end])


def learning_rate_range(model, batches, *, steps=100, lowest=1e-6, highest=10.0, monitor="loss"):
    """Train `model`, compiled with a constant rate, for some steps: a LearningRateRange.

    The rate rises from `lowest` to `highest`, or until the loss, `monitor` in the model's logs, is
    no number or DIVERGED. `batches` yields (images, labels). The model is as before in the end.
    """
    rates, losses = np.geomspace(lowest, highest, steps), []
    with restored(model):
        for rate, (images, labels) in zip(rates, batches, strict=False):
            model.optimizer.learning_rate = rate
            loss = float(train_step(model, images, labels)[monitor])
            if not np.isfinite(loss) or loss > DIVERGED * max(losses[:10], default=loss):
                break
            losses.append(loss)
    return LearningRateRange(rates[: len(losses)], np.array(losses))


def train_step(model, images, labels) -> dict:
    """Train a compiled model by one step.

    Args:
        model: keras.Model.
        images, labels: a batch.

    Returns:
        The step's logs, floats by name: its own loss and metrics. Keras before 3.14 gives their
        means over all steps since metrics were reset.
    """
    model.reset_metrics()
    return model.train_on_batch(images, labels, return_dict=True)


@contextlib.contextmanager
def restored(model):
    """Inside, a compiled model may be trained: weights, averages, seeds, optimizer come back."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
