"""The course's optimizers by name, on Keras' own classes.

SGD, momentum and Nesterov are the course's formulas; Keras' Adam, RMSprop and Adagrad place
epsilon elsewhere.
"""

from functools import partial

from keras import optimizers

from cvcourse.errors import unknown
from cvcourse.optimization.weight_decay import kernels, l2_on_kernels

OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "momentum": partial(optimizers.SGD, momentum=0.9),
    "nesterov": partial(optimizers.SGD, momentum=0.9, nesterov=True),
    "adagrad": optimizers.Adagrad,
    "rmsprop": optimizers.RMSprop,
    "adam": optimizers.Adam,
    "adamw": optimizers.AdamW,
}


def optimizer(name, model, learning_rate, *, weight_decay=0.0):
    """An optimizer for `model`, with weight decay on its kernels.

    `learning_rate` is a number or a schedule. `weight_decay` is decoupled for adamw, and the
    coefficient of a coupled L2 penalty, put on the model, for the others. Raises ValueError for an
    unknown name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", name, OPTIMIZERS))
    if name != "adamw":
        l2_on_kernels(model, weight_decay)
        return OPTIMIZERS[name](learning_rate)
    decoupled = OPTIMIZERS[name](learning_rate, weight_decay=weight_decay)
    decayed = {id(kernel) for kernel in kernels(model)}
    free = [v for v in model.trainable_variables if id(v) not in decayed]
    decoupled.exclude_from_weight_decay(var_list=free)
    return decoupled
