"""Weight decay as the papers mean it: an L2 penalty on the kernels, whose gradient is added.

Krogh & Hertz, "A simple weight decay can improve generalization", NIPS 1991; He et al. 2016 use
1e-4. Keras' own `weight_decay=` is the decoupled kind of AdamW (Loshchilov & Hutter 2019).
"""

import keras


def l2_on_kernels(model, decay):
    """Add decay/2 * sum(w^2) over the kernels of `model` to its loss; biases and norms go free.

    The gradient of a kernel w grows by decay * w. The penalty belongs to the variables, so it
    trains and is not saved. Returns the model.
    """
    for kernel in kernels(model):
        kernel.regularizer = keras.regularizers.L2(decay / 2) if decay else None
    return model


def kernels(model):
    """The trainable variables that multiply an input: of convolutions, dense layers and cells."""
    return [v for v in model.trainable_variables if v.name.endswith("kernel")]
