"""Weight averaging: evaluate and save a mean of the weights during training, not the last ones.

Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control and
Optimization, 1992, average all iterates equally. EMA, the exponential moving average, gives recent
iterates more weight: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, section 7.2; Szegedy et al.
2016, https://arxiv.org/abs/1512.00567, section 8, evaluate a running average. SWA, stochastic
weight averaging, is uniform over the ends of the last epochs: Izmailov et al., "Averaging Weights
Leads to Wider Optima and Better Generalization", UAI 2018, https://arxiv.org/abs/1803.05407.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

SWA_FROM = 0.75  # of the run: Izmailov et al., section 3.2
IMAGES_FOR_BATCH_NORM = 10_000  # at most: more would hardly change the statistics


class WeightAveraging(keras.callbacks.Callback):
    """Base class of callbacks that validate averages; training itself is not changed by a bit.

    The averages are assigned to the model for each validation and stay until this callback's
    `on_epoch_end`: callbacks before it in the list see and save the averages that were validated,
    callbacks after it the weights that are trained.

    Args:
        batches: Training images (n, ...), or tuples that begin with them, the same in each
            iteration. Batch-norm statistics of the averages are estimated on them.

    Attributes:
        variables: State in addition to the optimizer's variables; a checkpoint needs both.
    """

    variables: tuple[keras.Variable, ...] = ()
    _own: list[np.ndarray] | None = None  # values of the model's variables in training

    def __init__(self, batches: Iterable):
        super().__init__()
        self.batches = batches

    def on_train_begin(self, logs=None):
        self._restore()  # Keras ends a fit with the optimizer's averages in the model

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._own = epoch, None

    def on_test_begin(self, logs=None):
        if hasattr(self.model, "jax_state_sync"):  # JAX updates variables late inside an epoch
            self.model.jax_state_sync()
        self._own = _values(self.model.variables)
        if self.average():
            estimate_batch_norm(self.model, self.batches)
        # New arrays: JAX frees the arrays of a model in a training step, even if others use them.
        _assign(self.model.variables, _values(self.model.variables))

    def on_epoch_end(self, epoch, logs=None):
        self._restore()

    def average(self):
        """Assign the averages so far to the model; return whether there are any."""
        raise NotImplementedError

    def _restore(self):
        if self._own:
            _assign(self.model.variables, self._own)


class EMA(WeightAveraging):
    """Callback: validate the exponential moving average that an optimizer with use_ema keeps.

    Keras' SwapEMAWeights swaps weights by adding and subtracting, which rounds the trained weights,
    and after a resume it does not know which of the two the model has.

    Args:
        batches: Training images (n, ...), or tuples that begin with them, for the batch-norm
            statistics of the averages.

    >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> net.compile(keras.optimizers.SGD(use_ema=True), "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 3))
    >>> fitted = net.fit(x, y, validation_data=(x, y), callbacks=[EMA([x])], verbose=0)
    """

    def average(self):
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        return True


class SWA(WeightAveraging):
    """Callback: validate the mean of the weights at the ends of the last epochs.

    Before `first_epoch`, the weights that are trained are validated.

    Args:
        model: The model that will be fit.
        batches: Training images (n, ...), or tuples that begin with them, for the batch-norm
            statistics of the averages.
        first_epoch: First epoch of the mean, counted from 0.

    >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> net.compile("sgd", "mse")
    >>> x, y = np.ones((8, 4)), np.ones((8, 3))
    >>> swa = SWA(net, [x], first_epoch=1)
    >>> fitted = net.fit(x, y, epochs=3, validation_data=(x, y), callbacks=[swa], verbose=0)
    >>> int(swa.count.value)
    2
    """

    def __init__(self, model: keras.Model, batches: Iterable, *, first_epoch: int):
        super().__init__(batches)
        self.first_epoch = first_epoch
        weights = model.trainable_variables
        self.means = [keras.Variable(ops.zeros(v.shape, v.dtype), dtype=v.dtype) for v in weights]
        self.count = keras.Variable(0, dtype="int32")
        self.variables = (self.count, *self.means)

    def average(self):
        if self._epoch < self.first_epoch:
            return False
        self.count.assign(self.count + 1)
        for mean, weight in zip(self.means, self.model.trainable_variables, strict=True):
            mean.assign(mean + (weight - mean) / ops.cast(self.count, mean.dtype))
            weight.assign(mean)
        return True


def weight_averages(
    config: Any, model: keras.Model, batches: Any, steps_per_epoch: int
) -> list[WeightAveraging]:
    """Create the callback for a config's field `average`.

    Args:
        config: Config with the fields average (none, ema or swa), epochs and batch_size.
        model: keras.Model that will be fit.
        batches: tf.data.Dataset of training batches.
        steps_per_epoch: Number of batches per epoch, the maximum number of batches on which
            batch-norm statistics are estimated.

    Returns:
        A list of one WeightAveraging; an empty list for none.
    """
    if config.average == "none":
        return []
    images = batches.take(min(steps_per_epoch, -(-IMAGES_FOR_BATCH_NORM // config.batch_size)))
    if config.average == "ema":
        return [EMA(images)]
    return [SWA(model, images, first_epoch=int(SWA_FROM * config.epochs))]


def estimate_batch_norm(model: keras.Model, batches: Iterable) -> keras.Model:
    """Set the batch-norm statistics of a model to the means of the statistics of batches, in place.

    Use it for weights that are not the result of training steps, such as averages: Izmailov et al.,
    section 3.2.

    Args:
        model: A built model.
        batches: Images (n, ...), or tuples that begin with them; the model runs in training mode.

    Returns:
        The model.

    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
    >>> float(estimate_batch_norm(net, [np.array([[1.0], [3.0]])]).layers[0].moving_mean[0])
    2.0
    """
    norms = list(_batch_norms(model))
    if not norms:
        return model
    statistics = [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
    momenta = [norm.momentum for norm in norms]
    means = _values(statistics)
    try:
        for norm in norms:
            norm.momentum = 0.0  # the moving statistics are then the last batch's
        for seen, batch in enumerate(batches, start=1):
            model(batch[0] if isinstance(batch, (tuple, list)) else batch, training=True)
            new = zip(means, _values(statistics), strict=True)
            means = [mean + (value.astype("float64") - mean) / seen for mean, value in new]
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    _assign(statistics, means)
    return model


def _batch_norms(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _batch_norms(layer)


def _values(variables):
    """Copy the values of variables."""
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
