"""The course's optimizers by name; course_optimizers.py lists where Keras' formulas differ.

SGD, momentum and Nesterov are Keras' formulas, and the course's. AdamW is the course's Adam with
decoupled weight decay.
"""

from functools import partial
from typing import Any

import keras

from cvcourse.errors import pick
from cvcourse.optimization.course_optimizers import (
    AlmostAdam,
    CourseAdagrad,
    CourseAdam,
    CourseAdamW,
    CourseRMSprop,
    CourseSGD,
)
from cvcourse.optimization.schedules import Rate, schedule_of
from cvcourse.optimization.weight_decay import kernels, l2_on_kernels

OPTIMIZERS = {
    "sgd": CourseSGD,
    "momentum": partial(CourseSGD, momentum=0.9),
    "nesterov": partial(CourseSGD, momentum=0.9, nesterov=True),
    "adagrad": CourseAdagrad,
    "rmsprop": CourseRMSprop,
    "adam": CourseAdam,
    "almost_adam": AlmostAdam,
    "adamw": CourseAdamW,
}


def optimizer(
    name: str,
    model: keras.Model,
    rate: Rate,
    *,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    **settings: Any,
) -> keras.optimizers.Optimizer:
    """Create an optimizer for a model, with weight decay on its kernels.

    Args:
        name: Key of `OPTIMIZERS`.
        model: keras.Model that it will train.
        rate: Learning rate: a number, or a schedule of updates of the weights.
        weight_decay: For adamw decoupled weight decay, multiplied by the learning rate; for the
            others the coefficient of an L2 penalty that is added to the model.
        clip_norm: Maximum global norm of the gradients (Pascanu et al. 2013,
            https://arxiv.org/abs/1211.5063, algorithm 1); None does not clip.
        **settings: Arguments of the optimizer's class.

    Returns:
        A keras.optimizers.Optimizer.

    Raises:
        ValueError: If the name or a setting is unknown.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> optimizer("adam", model, 0.01, beta_1=0.8).beta_1
    0.8
    """
    make = partial(pick("optimizer", name, OPTIMIZERS), rate, global_clipnorm=clip_norm, **settings)
    if name != "adamw":
        l2_on_kernels(model, weight_decay)
        return make()
    decoupled = make(weight_decay=weight_decay)
    decayed = {id(kernel) for kernel in kernels(model)}
    free = [v for v in model.trainable_variables if id(v) not in decayed]
    decoupled.exclude_from_weight_decay(var_list=free)
    return decoupled


def of(config, model, steps_per_epoch, **settings):
    """Create the optimizer of a run from its config, with its learning-rate schedule.

    Args:
        config: Config with the fields of `recipe.groups.FitFields`; see `schedule_of`.
        model: keras.Model that it will train.
        steps_per_epoch: Number of batches per epoch.
        **settings: Arguments of the optimizer's class.

    Returns:
        A keras.optimizers.Optimizer.

    Raises:
        ValueError: If the settings do not fit each other or the length of the run.
    """
    return optimizer(
        config.optimizer,
        model,
        schedule_of(config, steps_per_epoch),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        **settings,
    )
