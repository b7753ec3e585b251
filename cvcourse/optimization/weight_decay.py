"""Weight decay as in the papers: an L2 penalty on the kernels, whose gradient is added.

Krogh & Hertz, "A simple weight decay can improve generalization", NIPS 1991; He et al. 2016 use
1e-4. Keras' own `weight_decay=` is the decoupled kind of AdamW (Loshchilov & Hutter 2019).
"""

import keras


def l2_on_kernels(model: keras.Model, decay: float) -> keras.Model:
    """Add decay/2 * sum(w^2) over the kernels of a model to its loss, in place.

    The gradient of a kernel w grows by decay * w; biases and normalization layers have no decay.
    The penalty belongs to the variables: it is used in training and is not saved.

    Args:
        model: A built model.
        decay: Weight decay; 0 removes the penalty.

    Returns:
        The model.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> _ = model.layers[0].kernel.assign([[3.0]])
    >>> round(float(l2_on_kernels(model, 0.1).losses[0]), 3)  # 0.1/2 * 3^2
    0.45
    """
    for kernel in kernels(model):
        kernel.regularizer = keras.regularizers.L2(decay / 2) if decay else None
    return model


def kernels(model):
    """List the trainable kernels: of convolutions, dense layers and cells."""
    return [v for v in model.trainable_variables if v.name.endswith("kernel")]
