"""Stochastic depth: in training a block's own path is left out at random, deeper ones more often.

Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382.
The paper's net is `resnet110_stochastic_depth`, among the variants of cifar_resnet.py.
"""

from keras import layers


def drop_rate(block, blocks, survival):
    """How often block 1 … `blocks` drops out: 1 - p_l of equation 4, where p_L is `survival`."""
    return block / blocks * (1 - survival)


def drop_path(x, rate, *, name):
    """In training zeros for a share `rate` of the images, the others scaled up: (n, …) -> the same.

    The paper draws once a mini-batch, and scales in inference instead: the mean is the same.
    """
    if not rate:
        return x
    one_an_image = (None, *(1 for _ in x.shape[1:]))
    return layers.Dropout(rate, noise_shape=one_an_image, name=name)(x)
