"""How the gradient vanishes or explodes on its way back through time, by TensorFlow.

Bengio et al., "Learning Long-Term Dependencies with Gradient Descent is Difficult", IEEE
Transactions on Neural Networks 5, 1994; Pascanu et al., "On the Difficulty of Training Recurrent
Neural Networks", ICML 2013, https://arxiv.org/abs/1211.5063; CS231n, lecture 10. TensorFlow is
imported inside a function, for the gradient.
"""

import contextlib

import keras
import numpy as np

from cvcourse.errors import unknown


def gradient_norms(model, inputs, targets=None, *, loss=None, layer=None, state="h"):
    """The norm of the gradient with respect to a recurrent layer's state at each step: (time,).

    Element t is the mean over examples of ||dL/dh_t||, exact. L is an example's loss at the last
    step T, and h_t the state as the layer's cell returned it at step t. For a vanilla RNN, h_t =
    tanh(W_hh h_{t-1} + W_xh x_t + b), that gradient is (Pascanu et al. 2013, eq. 5)

        dL/dh_t = prod_{k=t+1}^{T} W_hh^T diag(1 - h_k^2) dL/dh_T

    and no factor stretches it by more than the largest singular value of W_hh. An LSTM's state is a
    pair, each with a gradient of its own: "h" is what the gates see of the step before, and "c"
    what they keep, with its way into h of the same step.

    `model` is any keras.Model that calls a keras.layers.RNN, SimpleRNN, LSTM or GRU, and calls it
    once; `layer` is that layer or its name, None the last there is. It is unrolled meanwhile, and
    left as it was. inputs (batch, time, …) are what the model takes. `loss` is a function (targets,
    outputs) -> () or (batch,), a mean over examples; outputs (batch, time, k) are given to it as
    they are at the last step, (batch, k). None is the cross-entropy of logits for targets (batch,),
    and without targets the sum of the outputs.

    Steps are in the order in which the layer reads, which go_backwards turns round. A padded step,
    whose state is dropped, has 0. Of stacked cells the state is the top one's.

    Returns float64. Raises ValueError for a model without such a layer, a `layer` or `state` that
    is not there or not used, several outputs without `loss`, and on backends other than TensorFlow.
    """
    require_tensorflow()
    import tensorflow as tf

    layer = recurrent_layer(model, layer)
    with tf.GradientTape() as tape, states_noted(layer, tape.watch) as steps:
        outputs = keras.tree.map_structure(last_step, model(inputs, training=False))
        if loss is None and keras.tree.is_nested(outputs):
            raise ValueError(f"{model.name} has several outputs: give loss, a function of them")
        value = keras.ops.mean((loss or default_loss(targets))(targets, outputs))
    if not steps:
        raise ValueError(f"{model.name} holds the layer {layer.name}, but does not call it")
    kinds = ["h", "c"][: len(steps[0])]
    if state not in kinds:
        raise ValueError(f"states of {layer.name} are {', '.join(kinds)}; received {state!r}")
    states = [step[kinds.index(state)] for step in steps]
    gradients = tape.gradient(value, states, unconnected_gradients="zero")
    return np.array([summed_norms(gradient) for gradient in gradients])


def input_gradient_norms(model, images, labels, steps, *, batch_size=32):
    """Compute how far back in a sequence an example's loss reaches: its gradient by step.

    The model may be any: the gradient is with respect to the pixels, not to a recurrent state, so
    a Transformer is compared with a recurrent net.

    Args:
        model: keras.Model from raw images (batch, h, w, c), which it reads as sequences, to logits.
        images: Array (n, h, w, c), n at least 1.
        labels: Class numbers (n,).
        steps: (time, channels) of the sequence of an image, in the order of its pixels.
        batch_size: Images at a time.

    Returns:
        A list of `time` floats: the mean over images of the norm of the gradient of an image's
        cross-entropy with respect to each step's pixels, in the order of reading.

    Raises:
        ValueError: On backends other than TensorFlow.
    """
    require_tensorflow()
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    @tf.function
    def gradient(images, labels):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = loss(labels, model(images, training=False))
        return tape.gradient(total, images)

    norms = []
    for start in range(0, len(labels), batch_size):
        place = slice(start, start + batch_size)
        batch = tf.constant(np.asarray(images[place]), tf.float32)
        found = gradient(batch, tf.constant(labels[place])).numpy().astype("float64")
        norms.extend(np.linalg.norm(found.reshape(len(found), *steps), axis=-1))
    return np.mean(norms, axis=0).tolist()


def share_of_first_half(norms):
    """Compute the share of the first half of the steps in the sum of norms; 0.0 if all are 0."""
    return sum(norms[: len(norms) // 2]) / sum(norms) if any(norms) else 0.0


def require_tensorflow():
    """Raise ValueError on other backends: Keras has no neutral function for gradients."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"gradients through time are TensorFlow's; received {keras.backend.backend()}: "
            "set KERAS_BACKEND=tensorflow"
        )


def recurrent_layer(model, layer=None):
    """The recurrent layer that `layer` is or names, for None the last. Raises ValueError."""
    found = list(recurrent_layers(model))
    if not found:
        there = ", ".join(f"{each.name} ({type(each).__name__})" for each in model.layers)
        raise ValueError(
            f"{model.name} has no recurrent layer, a keras.layers.RNN, SimpleRNN, LSTM or GRU; "
            f"it has {there or 'no layers'}"
        )
    chosen = [each for each in found if layer in (None, each, each.name)]
    if not chosen:
        name = getattr(layer, "name", layer)
        raise ValueError(unknown("recurrent layer", name, [each.name for each in found]))
    return chosen[-1]


def recurrent_layers(layer):
    """The recurrent layers inside a layer or model, those of wrappers and inner models too."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        if isinstance(inner, keras.layers.RNN):
            yield inner
        else:
            yield from recurrent_layers(inner)


@contextlib.contextmanager
def states_noted(layer, watch):
    """Inside, `layer` runs unrolled, and each step's states are appended to the list it gives.

    `watch` is called with the states that a step begins with.
    """
    steps, cell = [], layer.cell
    call = cell.call
    # Keras' loop in Python calls the cell at each step; those of TensorFlow and cuDNN do not.
    before = {key: getattr(layer, key) for key in ("unroll", "use_cudnn") if hasattr(layer, key)}

    def noted(inputs, states, **kwargs):
        watch(keras.tree.flatten(states))
        output, after = call(inputs, states, **kwargs)
        top = after[-1] if isinstance(cell, keras.layers.StackedRNNCells) else after
        steps.append(keras.tree.flatten(top))
        return output, after

    cell.call = noted
    for key in before:
        setattr(layer, key, key == "unroll")
    try:
        yield steps
    finally:
        del cell.call  # the instance's: the class' own comes to light again
        for key, value in before.items():
            setattr(layer, key, value)


def last_step(outputs):
    """Outputs (batch, time, k) at the last step: (batch, k); others as they are."""
    return outputs[:, -1] if len(outputs.shape) == 3 else outputs


def default_loss(targets):
    """The loss where none is given, see gradient_norms."""
    if targets is None:
        return lambda _, outputs: keras.ops.sum(outputs) / outputs.shape[0]
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def summed_norms(gradient):
    """Of a mean over examples: the sum of its norms is the mean of those of each one's own loss."""
    rows = keras.ops.convert_to_numpy(gradient).astype("float64")
    return np.linalg.norm(rows.reshape(len(rows), -1), axis=1).sum()
