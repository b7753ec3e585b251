"""The course's optimizers by name; course_optimizers says how Keras' own formulas differ.

SGD, momentum and Nesterov are Keras' formulas, and the course's. AdamW is the course's Adam with
decoupled weight decay.
"""

from functools import partial

from cvcourse.errors import pick
from cvcourse.optimization.course_optimizers import (
    AlmostAdam,
    CourseAdagrad,
    CourseAdam,
    CourseAdamW,
    CourseRMSprop,
    CourseSGD,
)
from cvcourse.optimization.schedules import schedule_of
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


def optimizer(name, model, rate, *, weight_decay=0.0, clip_norm=None, **settings):
    """An optimizer for `model`, with weight decay on its kernels.

    Args:
        name: Key of `OPTIMIZERS`.
        model: keras.Model whose variables it will move.
        rate: Number or schedule, which is asked by updates of the weights.
        weight_decay: Decoupled for adamw, where the rate multiplies it; the coefficient of a
            coupled L2 penalty, put on the model, for the others.
        clip_norm: Largest norm that all gradients together keep (Pascanu et al. 2013,
            https://arxiv.org/abs/1211.5063, algorithm 1).
        settings: Go to the optimizer's class.

    Returns:
        A keras.optimizers.Optimizer.

    Raises:
        ValueError: If the name is unknown, or a setting of the optimizer.
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
    """Make the optimizer of a run from its config, with its learning-rate schedule.

    Args:
        config: Config with the fields of `recipe.groups.FitFields`; see `schedule_of`.
        model: keras.Model whose variables it will move.
        steps_per_epoch: Batches of an epoch.
        settings: Go to the optimizer's class.

    Returns:
        A keras.optimizers.Optimizer.

    Raises:
        ValueError: If the settings do not fit one another or the length of the run.
    """
    return optimizer(
        config.optimizer,
        model,
        schedule_of(config, steps_per_epoch),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        **settings,
    )
