"""Norms of gradients that vanish or explode in backpropagation through time, on TensorFlow.

Bengio et al., "Learning Long-Term Dependencies with Gradient Descent is Difficult", IEEE
Transactions on Neural Networks 5, 1994; Pascanu et al., "On the Difficulty of Training Recurrent
Neural Networks", ICML 2013, https://arxiv.org/abs/1211.5063; CS231n, lecture 10. TensorFlow is
imported inside a function, for the gradient.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from cvcourse.errors import unknown


def gradient_norms(
    model: keras.Model,
    inputs: Any,
    targets: Any = None,
    *,
    loss: Callable | None = None,
    layer: keras.layers.Layer | str | None = None,
    state: str = "h",
) -> np.ndarray:
    """Compute the norm of the gradient with respect to a recurrent layer's state at each step.

    Element t is the exact mean over examples of ||dL/dh_t||. L is an example's loss at the last
    step T, and h_t the state that the layer's cell returned at step t. For a vanilla RNN, h_t =
    tanh(W_hh h_{t-1} + W_xh x_t + b), this gradient is (Pascanu et al. 2013, eq. 5)

        dL/dh_t = prod_{k=t+1}^{T} W_hh^T diag(1 - h_k^2) dL/dh_T

    and no factor increases its norm by more than the largest singular value of W_hh. An LSTM's
    state is a pair, with one gradient each: "h", which the gates of the next step read, and "c",
    the cell state, including its path into h of the same step.

    Steps are in the order in which the layer reads, which go_backwards reverses. A padded step,
    whose state is discarded, has a norm of 0. For stacked cells, the state is that of the top cell.

    Args:
        model: Any keras.Model that calls a keras.layers.RNN, SimpleRNN, LSTM or GRU once. The layer
            is unrolled during the call, and restored.
        inputs: Inputs of the model, (batch, time, ...).
        targets: Targets of the loss; None if it needs none.
        loss: Function (targets, outputs) -> () or (batch,), a mean over examples; of outputs
            (batch, time, k) it receives the last step, (batch, k). If None, the cross-entropy of
            logits for targets (batch,), or without targets the sum of the outputs.
        layer: The recurrent layer or its name. If None, the last one.
        state: "h", or "c" for an LSTM's cell state.

    Returns:
        Norms (time,) float64.

    Raises:
        ValueError: If the model has no such layer or does not call it, has no such `state`, or has
            several outputs and no `loss`; on backends other than TensorFlow.

    >>> from cvcourse import sequence
    >>> net = sequence.build("rnn", units=8, input_shape=(5, 3))
    >>> gradient_norms(net, np.ones((2, 5, 3))).shape
    (5,)
    """
    require_tensorflow()
    import tensorflow as tf

    found = recurrent_layer(model, layer)
    with tf.GradientTape() as tape, states_noted(found, tape.watch) as steps:
        outputs = keras.tree.map_structure(last_step, model(inputs, training=False))
        if loss is None and keras.tree.is_nested(outputs):
            raise ValueError(f"{model.name} has several outputs: give loss, a function of them")
        value = keras.ops.mean((loss or default_loss(targets))(targets, outputs))
    if not steps:
        raise ValueError(f"{model.name} holds the layer {found.name}, but does not call it")
    kinds = ["h", "c"][: len(steps[0])]
    if state not in kinds:
        raise ValueError(f"states of {found.name} are {', '.join(kinds)}; received {state!r}")
    states = [step[kinds.index(state)] for step in steps]
    gradients = tape.gradient(value, states, unconnected_gradients="zero")
    return np.array([summed_norms(gradient) for gradient in gradients])


def input_gradient_norms(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    steps: tuple[int, int],
    *,
    batch_size: int = 32,
) -> list[float]:
    """Compute the norm of the gradient of the loss with respect to each step of the input.

    The gradient is with respect to pixels, not to a recurrent state, so that a Transformer can be
    compared with a recurrent net.

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

    >>> net = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> norms = input_gradient_norms(net, np.zeros((3, 2, 2, 1)), np.zeros(3, int), (2, 2))
    >>> [round(norm, 4) for norm in norms]  # softmax minus one-hot: (-3/4, 1/4), (1/4, 1/4)
    [0.7906, 0.3536]
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


def share_of_first_half(norms: Sequence[float]) -> float:
    """Compute the share of the first half of the steps in the sum of norms.

    Args:
        norms: A number for each step.

    Returns:
        0 to 1; 0.0 if all norms are 0.

    >>> share_of_first_half([1.0, 2.0, 4.0, 5.0])
    0.25
    """
    return sum(norms[: len(norms) // 2]) / sum(norms) if any(norms) else 0.0


def require_tensorflow():
    """Raise ValueError on other backends: Keras has no function for gradients on all of them."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "gradients through time need the TensorFlow backend; received "
            f"{keras.backend.backend()}: set KERAS_BACKEND=tensorflow"
        )


def recurrent_layer(model, layer=None):
    """Find the recurrent layer `layer`, given itself or by name; None finds the last one."""
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
    """Yield the recurrent layers inside a layer or model, also in wrappers and inner models."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        if isinstance(inner, keras.layers.RNN):
            yield inner
        else:
            yield from recurrent_layers(inner)


@contextlib.contextmanager
def states_noted(layer, watch):
    """Context manager: unroll `layer`, and yield a list to which each step's states are appended.

    `watch` is called with the states that a step begins with.
    """
    steps, cell = [], layer.cell
    call = cell.call
    # Only Keras' unrolled loop calls the cell at each step; those of TensorFlow and cuDNN do not.
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
        del cell.call  # the instance's, which hides the class
        for key, value in before.items():
            setattr(layer, key, value)


def last_step(outputs):
    """Select the last step of outputs (batch, time, k); others are unchanged."""
    return outputs[:, -1] if len(outputs.shape) == 3 else outputs


def default_loss(targets):
    """Return the loss of `gradient_norms` if none is given."""
    if targets is None:
        return lambda _, outputs: keras.ops.sum(outputs) / outputs.shape[0]
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def summed_norms(gradient):
    """Sum norms over examples: for the gradient of a mean loss, this is the examples' mean norm."""
    rows = keras.ops.convert_to_numpy(gradient).astype("float64")
    return np.linalg.norm(rows.reshape(len(rows), -1), axis=1).sum()
