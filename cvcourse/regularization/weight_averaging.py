"""Weight averaging: judge and keep the mean of the weights on the way, not the last of them.

Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control and
Optimization, 1992, average all iterates alike. EMA, the exponential moving average, weighs the
recent ones more: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, section 7.2; Szegedy et al.
2016, https://arxiv.org/abs/1512.00567, section 8, evaluate a running average. SWA, stochastic
weight averaging, is uniform over the ends of the last epochs: Izmailov et al., "Averaging Weights
Leads to Wider Optima and Better Generalization", UAI 2018, https://arxiv.org/abs/1803.05407.
"""

import keras
import numpy as np
from keras import ops

SWA_FROM = 0.75  # of the run: Izmailov et al., section 3.2
IMAGES_FOR_BATCH_NORM = 10_000  # at most: more of them would hardly move its statistics


class WeightAveraging(keras.callbacks.Callback):
    """Puts averages into the model for each validation; training goes on without them, to the bit.

    They stay until this callback's `on_epoch_end`, so callbacks before it in the list see and save
    what was validated, those behind it the weights of the training. `batches` are training images,
    the same each time: batch norm's statistics are estimated on them, since those of the training
    are of other weights. `variables` is what it remembers beside the optimizer's variables: a
    checkpoint needs both.
    """

    variables = ()
    _own = None  # the training's values of the model's variables

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_train_begin(self, logs=None):
        self._put_back()  # Keras ends a fit with the optimizer's averages in the model

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._own = epoch, None

    def on_test_begin(self, logs=None):
        if hasattr(self.model, "jax_state_sync"):  # on JAX variables lag behind inside an epoch
            self.model.jax_state_sync()
        self._own = _values(self.model.variables)
        if self.average():
            estimate_batch_norm(self.model, self.batches)
        # Arrays of its own: JAX frees those of a model that steps, whoever else may hold them.
        _assign(self.model.variables, _values(self.model.variables))

    def on_epoch_end(self, epoch, logs=None):
        self._put_back()

    def average(self):
        """Put the averages up to now into the model; whether there are any."""
        raise NotImplementedError

    def _put_back(self):
        if self._own:
            _assign(self.model.variables, self._own)


class EMA(WeightAveraging):
    """The exponential moving average of the trainable weights that an optimizer with use_ema keeps.

    Keras' SwapEMAWeights exchanges by adding and subtracting, which rounds the weights that are
    trained on, and forgets on a resume which of the two the model holds.
    """

    def average(self):
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        return True


class SWA(WeightAveraging):
    """The uniform mean of the weights at the ends of the epochs from `first_epoch` (from 0) on.

    Before, the model is validated as it is.
    """

    def __init__(self, model, batches, *, first_epoch):
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


def weight_averages(config, model, batches, steps_per_epoch):
    """Make the callback that a config's field `average` asks for.

    Args:
        config: Config with the fields average (none, ema or swa), epochs and batch_size.
        model: keras.Model that will be fit.
        batches: tf.data.Dataset of training batches.
        steps_per_epoch: Batches of an epoch, the most that batch norm is estimated on.

    Returns:
        A list of one WeightAveraging; an empty one for none.
    """
    if config.average == "none":
        return []
    images = batches.take(min(steps_per_epoch, -(-IMAGES_FOR_BATCH_NORM // config.batch_size)))
    if config.average == "ema":
        return [EMA(images)]
    return [SWA(model, images, first_epoch=int(SWA_FROM * config.epochs))]


def estimate_batch_norm(model, batches):
    """Set the batch-norm statistics of `model` to the means of those of `batches`; returns it.

    For weights that no training step has led to, such as an average: Izmailov et al., section 3.2.
    `batches` are images (n, ...), or tuples that begin with them, passed through in training mode.
    """
    norms = list(_batch_norms(model))
    if not norms:
        return model
    statistics = [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
    momenta = [norm.momentum for norm in norms]
    means = _values(statistics)
    try:
        for norm in norms:
            norm.momentum = 0.0  # the moving statistics are then those of the last batch
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
    """Copies, which no later step writes into."""
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
