"""Adagrad, RMSprop, Adam and AdamW as the course writes them: epsilon outside the root.

CS231n notes, https://cs231n.github.io/neural-networks-3/#ada; Duchi et al. 2011, Tieleman & Hinton
2012, Kingma & Ba 2015, Loshchilov & Hutter 2019. Keras adds epsilon under the root (Adagrad,
RMSprop) or to the root before it is corrected (Adam, AdamW), and its Adagrad starts at 0.1. They
agree for large gradients, but not for small ones. The first step at rate 1e-2 for a gradient of
1e-6:

                  course     Keras    times
    adagrad     9.90e-03  3.16e-08  313,000
    rmsprop     3.07e-02  3.16e-05      969
    adam        9.90e-03  2.40e-03     4.12
    almost_adam 2.40e-02         -        -
    adamw       9.90e-03  2.40e-03     4.12
"""

from typing import Any

import keras
from keras import ops

from cvcourse.optimization.schedules import Rate


class ByUpdates(keras.optimizers.Optimizer):
    """Base class: schedule and moving average count updates, also if gradients are accumulated.

    With `gradient_accumulation_steps` of N, Keras (3.13 to 3.15) calls a schedule with the number
    of batches, N times too fast, and updates its exponential moving average at each batch.
    """

    default_name = ""  # Keras' name of the optimizer, which is part of the variables' paths

    def __init__(self, learning_rate: Rate, *, name: str | None = None, **kwargs: Any):
        super().__init__(learning_rate, name=name or self.default_name, **kwargs)

    def _get_current_learning_rate(self):
        rate = self._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return rate(self.iterations)  # of updates, while _iterations counts batches
        return super()._get_current_learning_rate()

    def _update_model_variables_moving_average(self, trainable_variables):
        every = self.gradient_accumulation_steps or 1
        is_update = ops.equal((self._iterations + 1) % every, 0)
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            if average is None:  # of a variable that is not a weight, such as a scale of float8
                continue
            # By arithmetic, since TensorFlow allows no branch here on several replicas.
            momentum = ops.where(is_update, self.ema_momentum, 1.0)
            momentum = ops.where(self.iterations > 0, momentum, 0.0)  # begins with the first update
            momentum = ops.cast(momentum, variable.dtype)
            average.assign(momentum * average + (1 - momentum) * variable)


@keras.saving.register_keras_serializable("cvcourse", name="SGD")
class CourseSGD(ByUpdates, keras.optimizers.SGD):
    """Keras' SGD, whose formulas of momentum and Nesterov momentum are those of the course.

    Args:
        learning_rate: Number or schedule.
        momentum: Share of the velocity that is kept, 0..1.
        nesterov: Whether to use Nesterov momentum.
        name: Name of the optimizer, "sgd" by default.
        **kwargs: Options of keras.optimizers.Optimizer, such as `global_clipnorm`.

    >>> CourseSGD(0.1, momentum=0.9).momentum
    0.9
    """

    default_name = "sgd"

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, name=name, **kwargs)


class CourseOptimizer(ByUpdates):
    """Base class: a `direction` for a gradient, and moments that start at 0.

    Args:
        learning_rate: Number or schedule.
        name: Name of the optimizer, `default_name` by default.
        **kwargs: Values of `settings`, and options of keras.optimizers.Optimizer.
    """

    moments: tuple[str, ...] = ()  # for each, one variable per weight
    settings = {"epsilon": 1e-8}

    def __init__(self, learning_rate: Rate = 0.001, *, name: str | None = None, **kwargs: Any):
        own = {key: kwargs.pop(key, default) for key, default in self.settings.items()}
        super().__init__(learning_rate, name=name, **kwargs)
        for key, value in own.items():
            setattr(self, key, value)

    def build(self, variables):
        """Create the moments of the variables."""
        if not self.built:
            super().build(variables)
            self._moments = [self.add_optimizer_variables(variables, m) for m in self.moments]

    def update_step(self, gradient, variable, learning_rate):
        """Update a variable against the direction of its gradient."""
        rate, gradient = (ops.cast(x, variable.dtype) for x in (learning_rate, gradient))
        gradient = ops.add(gradient, 0.0)  # dense: that of an embedding has only some rows
        index = self._get_variable_index(variable)
        moments = [of_all[index] for of_all in self._moments]
        direction, *new = self.direction(gradient, *moments)
        for moment, value in zip(moments, new, strict=True):
            self.assign(moment, value)
        self.assign_sub(variable, rate * direction)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.settings}}


@keras.saving.register_keras_serializable("cvcourse", name="Adagrad")
class CourseAdagrad(CourseOptimizer):
    """Adagrad: each weight's step shrinks with the sum of its squared gradients so far.

    Args:
        learning_rate: Number or schedule.
        name: Name of the optimizer, "adagrad" by default.
        **kwargs: `epsilon` (1e-8), and options of keras.optimizers.Optimizer.

    >>> CourseAdagrad(0.01).epsilon
    1e-08
    """

    default_name = "adagrad"
    moments = ("cache",)

    def direction(self, g, cache):
        """Return the step at rate 1, and the new cache."""
        cache = cache + g * g
        return g / (ops.sqrt(cache) + self.epsilon), cache


@keras.saving.register_keras_serializable("cvcourse", name="RMSprop")
class CourseRMSprop(CourseOptimizer):
    """RMSprop: Adagrad with a moving average, so that steps do not shrink to 0.

    Args:
        learning_rate: Number or schedule.
        name: Name of the optimizer, "rm_sprop" by default.
        **kwargs: `decay_rate` of the average (0.9), `epsilon` (1e-8), and options of
            keras.optimizers.Optimizer.

    >>> CourseRMSprop(0.001, decay_rate=0.99).decay_rate
    0.99
    """

    default_name = "rm_sprop"
    moments = ("cache",)
    settings = {"decay_rate": 0.9, "epsilon": 1e-8}

    def direction(self, g, cache):
        """Return the step at rate 1, and the new cache."""
        cache = self.decay_rate * cache + (1 - self.decay_rate) * g * g
        return g / (ops.sqrt(cache) + self.epsilon), cache


@keras.saving.register_keras_serializable("cvcourse")
class AlmostAdam(CourseOptimizer):
    """RMSprop of a smoothed gradient: Adam without bias correction. First steps are too large.

    Args:
        learning_rate: Number or schedule.
        name: Name of the optimizer, "almost_adam" by default.
        **kwargs: Decay rates of the moments `beta_1` (0.9) and `beta_2` (0.999), `epsilon` (1e-8),
            and options of keras.optimizers.Optimizer.

    >>> AlmostAdam(0.001, beta_1=0.8).beta_1
    0.8
    """

    default_name = "almost_adam"
    moments = ("m", "v")
    settings = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

    def direction(self, g, m, v):
        """Return the step at rate 1, and the new moments."""
        m = self.beta_1 * m + (1 - self.beta_1) * g
        v = self.beta_2 * v + (1 - self.beta_2) * g * g
        mt, vt = self.corrected(m, v)
        return mt / (ops.sqrt(vt) + self.epsilon), m, v

    def corrected(self, m, v):
        """Return the moments that the step uses."""
        return m, v


@keras.saving.register_keras_serializable("cvcourse", name="Adam")
class CourseAdam(AlmostAdam):
    """Adam: AlmostAdam with bias correction, since the moments start at 0.

    Args:
        learning_rate: Number or schedule.
        name: Name of the optimizer, "adam" by default.
        **kwargs: Decay rates of the moments `beta_1` (0.9) and `beta_2` (0.999), `epsilon` (1e-8),
            and options of keras.optimizers.Optimizer.

    >>> CourseAdam(0.001).name
    'adam'
    """

    default_name = "adam"

    def corrected(self, m, v):
        """Divide the moments by the sum of the weights of the gradients of steps 1 to t."""
        t = ops.cast(self.iterations + 1, m.dtype)
        return m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)


@keras.saving.register_keras_serializable("cvcourse", name="AdamW")
class CourseAdamW(CourseAdam):
    """Adam with decoupled weight decay: w -= rate * (step + decay * w).

    Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2, multiply the decay by
    the schedule alone (eta_t), not by the peak learning rate (alpha). Here, as in Keras and torch,
    it is multiplied by both: the paper's lambda is weight_decay * alpha.

    Args:
        learning_rate: Number or schedule.
        weight_decay: Decoupled weight decay.
        name: Name of the optimizer, "adam_w" by default.
        **kwargs: Decay rates of the moments `beta_1` (0.9) and `beta_2` (0.999), `epsilon` (1e-8),
            and options of keras.optimizers.Optimizer.

    >>> CourseAdamW(0.001, weight_decay=0.05).weight_decay
    0.05
    """

    default_name = "adam_w"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float | None = 0.004,  # Keras' default
        *,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **kwargs)
