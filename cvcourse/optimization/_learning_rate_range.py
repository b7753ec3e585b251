"""Learning-rate range test: increase the rate at each step, and record where the loss falls.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
https://arxiv.org/abs/1506.01186, section 3.3; here the rate rises exponentially.
"""

import contextlib
import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

MEMORY = 0.9  # of the running mean that smooths the loss: about ten steps
FALLEN = 0.1  # the interval begins where the loss has completed this share of its fall
DIVERGED = 3  # times the initial loss: the test ends there
NO_FALL = 0.05  # a fall below this share of the loss is noise


@dataclasses.dataclass(frozen=True)
class LearningRateRange:
    """Result of a learning-rate range test.

    Args:
        rates: Rising learning rates (n,).
        losses: Loss (n,) at each rate, before its step.

    >>> found = LearningRateRange(np.array([1e-3, 1e-2]), np.array([2.0, 1.0]))
    >>> found.smoothed.round(2)
    array([2.  , 1.47])
    """

    rates: np.ndarray
    losses: np.ndarray

    @property
    def smoothed(self):
        """Running mean of the losses (n,), without bias at the start."""
        mean, means = 0.0, []
        for step, loss in enumerate(self.losses, start=1):
            mean = MEMORY * mean + (1 - MEMORY) * loss
            means.append(mean / (1 - MEMORY**step))
        return np.array(means)

    @property
    def level(self):
        """Loss at rates too small to change it: median of the smoothed loss' first quarter."""
        return float(np.median(self.smoothed[: max(len(self.rates) // 4, 1)]))

    @property
    def interval(self):
        """Lowest and highest useful rate, a tuple; None if the loss does not fall.

        The interval extends from where the smoothed loss begins to fall to where it is smallest.
        The upper end is moved back by the delay of the running mean; the lower end is at least as
        far below the upper one.
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


def learning_rate_range(
    model: keras.Model,
    batches: Iterable,
    *,
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 10.0,
    monitor: str = "loss",
) -> LearningRateRange:
    """Run a learning-rate range test, and restore the model afterwards.

    The test ends early if the loss becomes NaN or infinite, or DIVERGED times its first values.

    Args:
        model: Model compiled with a constant learning rate.
        batches: Iterable of (images, labels).
        steps: Number of steps, with a rate each.
        lowest: First learning rate.
        highest: Last learning rate.
        monitor: Name of the loss in the model's logs.

    Returns:
        A LearningRateRange.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> batch = np.ones((4, 1)), np.full((4, 1), 5.0)
    >>> learning_rate_range(model, [batch] * 20, steps=20, highest=0.1).rates.shape
    (20,)
    """
    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    with restored(model):
        for rate, (images, labels) in zip(rates, batches, strict=False):
            model.optimizer.learning_rate = rate
            loss = float(train_step(model, images, labels)[monitor])
            if not np.isfinite(loss) or loss > DIVERGED * max(losses[:10], default=loss):
                break
            losses.append(loss)
    return LearningRateRange(rates[: len(losses)], np.array(losses))


def train_step(model, images, labels) -> dict:
    """Train a compiled model for one step.

    Args:
        model: keras.Model.
        images: Images of a batch (n, …).
        labels: Their labels.

    Returns:
        Logs of the step, floats by name: its loss and metrics. Keras before 3.14 returns their
        means over all steps since metrics were reset.
    """
    model.reset_metrics()
    return model.train_on_batch(images, labels, return_dict=True)


@contextlib.contextmanager
def restored(model):
    """Context manager: restore weights, averages, seeds and optimizer of a compiled model."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
