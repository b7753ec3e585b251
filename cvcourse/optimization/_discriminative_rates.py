"""Another learning rate for some variables: a body that knows much moves less than a new head.

Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
https://arxiv.org/abs/1801.06146: discriminative fine-tuning (section 3.2) and gradual unfreezing
(section 3.3). Works with any Keras optimizer; Keras' MultiOptimizer is not in 3.13.
"""

from keras import ops


def discriminative_rates(optimizer, groups):
    """Let `optimizer` use its learning rate times a factor for some variables; returns it.

    `groups` are (variables, factor, first_step): before that step they do not move at all. The
    others have factor 1 from the start. Call it before the first step. Decoupled weight decay
    (`weight_decay=`) goes by the optimizer's own rate and is not scaled.
    """
    key = optimizer._var_key  # whatever stands for a variable inside a step on this backend
    found = {key(v): (factor, first) for group, factor, first in groups for v in group}
    update_step = optimizer.update_step

    def scaled(gradient, variable, learning_rate):
        factor, first = found.get(key(variable), (1.0, 0))
        if first:
            factor = ops.where(optimizer.iterations >= first, factor, 0.0)
        return update_step(gradient, variable, learning_rate * factor)

    optimizer.update_step = scaled
    return optimizer
