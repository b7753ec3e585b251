"""Discriminative learning rates: a pretrained body takes smaller steps than a new head.

Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
https://arxiv.org/abs/1801.06146: discriminative fine-tuning (section 3.2) and gradual unfreezing
(section 3.3). Works with any Keras optimizer; Keras' MultiOptimizer is not in 3.13.
"""

from collections.abc import Iterable

import keras
from keras import ops

Group = tuple[Iterable[keras.Variable], float, int]


def discriminative_rates(
    optimizer: keras.optimizers.Optimizer, groups: Iterable[Group]
) -> keras.optimizers.Optimizer:
    """Scale an optimizer's learning rate for some variables, in place.

    Call it before the first step. Decoupled weight decay (`weight_decay=`) uses the optimizer's own
    rate and is not scaled.

    Args:
        optimizer: Any Keras optimizer.
        groups: Tuples (variables, factor, first_step): the variables are not updated before that
            step, and with the learning rate times the factor from then on. Variables in no group
            have factor 1 from the start.

    Returns:
        The optimizer.

    >>> body, head = keras.Variable([1.0], name="body"), keras.Variable([1.0], name="head")
    >>> sgd = discriminative_rates(keras.optimizers.SGD(0.5), [([body], 0.5, 0)])
    >>> sgd.apply([ops.ones(1), ops.ones(1)], [body, head])
    >>> float(body[0]), float(head[0])
    (0.75, 0.5)
    """
    key = optimizer._var_key  # of a variable inside a step, on any backend
    found = {key(v): (factor, first) for group, factor, first in groups for v in group}
    update_step = optimizer.update_step

    def scaled(gradient, variable, learning_rate):
        factor, first = found.get(key(variable), (1.0, 0))
        if first:
            factor = ops.where(optimizer.iterations >= first, factor, 0.0)
        return update_step(gradient, variable, learning_rate * factor)

    optimizer.update_step = scaled
    return optimizer
