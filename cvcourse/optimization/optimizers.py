"""The course's optimizers by name: Keras' own classes where they are its formulas, else ours.

SGD, momentum and Nesterov are the course's formulas, AdamW is that of Loshchilov & Hutter 2019;
course_optimizers says how Keras' Adagrad, RMSprop and Adam differ from the others.
"""

from functools import partial

from keras import optimizers

from cvcourse.errors import pick
from cvcourse.optimization.course_optimizers import Adagrad, Adam, AlmostAdam, RMSprop
from cvcourse.optimization.weight_decay import kernels, l2_on_kernels

OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "momentum": partial(optimizers.SGD, momentum=0.9),
    "nesterov": partial(optimizers.SGD, momentum=0.9, nesterov=True),
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "almost_adam": AlmostAdam,
    "adamw": optimizers.AdamW,
}


def optimizer(name, model, rate, *, weight_decay=0.0, clip_norm=None, **settings):
    """An optimizer for `model`, with weight decay on its kernels.

    `rate` is a number or a schedule. `weight_decay` is decoupled for adamw, and the coefficient of
    a coupled L2 penalty, put on the model, for the others. `clip_norm` is the largest norm that all
    gradients together keep (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1).
    `settings` go to the optimizer's class. Raises ValueError for an unknown name.
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
