"""Gradients, compiled: the one file of this package that asks which backend of Keras runs.

TensorFlow, JAX or torch is imported inside the functions; Keras has no function for gradients.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np


def value_and_gradient(function: Callable, point: Any) -> tuple[Any, Any, Any]:
    """Differentiate a function of a batch.

    Args:
        function: Function point -> (objective, auxiliary): a tensor, which is summed, and any
            structure of tensors.
        point: Tensor.

    Returns:
        (objective, auxiliary, gradient of the sum of the objective): the gradient has the shape of
        `point`, and is 0 where the objective does not depend on it.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            objective, auxiliary = function(point)
        zero = tf.UnconnectedGradients.ZERO
        return objective, auxiliary, tape.gradient(objective, point, unconnected_gradients=zero)
    if backend == "jax":
        import jax

        def summed(point):
            objective, auxiliary = function(point)
            return keras.ops.sum(objective), (objective, auxiliary)

        gradient, (objective, auxiliary) = jax.grad(summed, has_aux=True)(point)
        return objective, auxiliary, gradient
    if backend == "torch":
        import torch

        with torch.enable_grad():
            point = point.detach().requires_grad_()
            objective, auxiliary = function(point)
            total = objective.sum()
            gradient = torch.zeros_like(point)
            if total.requires_grad:
                found = torch.autograd.grad(total, point, allow_unused=True)[0]
                gradient = gradient if found is None else found
        return objective, auxiliary, gradient
    raise ValueError(f"there are no gradients on Keras' {backend} backend: use TensorFlow")


def compiled(
    function: Callable, shapes: Sequence[Sequence[int | None]], variables: Sequence[Any]
) -> Callable:
    """Compile a function of float32 tensors once, for all sizes of its batches.

    Args:
        function: Function of tensors that returns a structure of tensors. It may read `variables`;
            what it assigns to a variable of Keras is dropped.
        shapes: Shape of each argument; None for sides that differ between calls.
        variables: Variables of the model, whose current values each call uses.

    Returns:
        A function of NumPy arrays that returns the structure as NumPy arrays.
    """
    backend = keras.backend.backend()

    def stateless(values, *arguments):
        state = [*zip(variables, values, strict=True)] if values else None
        with keras.StatelessScope(state_mapping=state):
            return function(*arguments)

    called: Callable = partial(stateless, None)
    if backend == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(shape, "float32") for shape in shapes]
        # A concrete function, for TensorFlow warns of "retracing" if many models have one each.
        called = tf.function(called, autograph=False).get_concrete_function(*signature)
    elif backend == "jax":
        import jax

        traced = jax.jit(stateless)

        def on_current_values(*arguments):
            return traced([variable.value for variable in variables], *arguments)

        called = on_current_values
    elif backend == "torch":
        import torch

        called = torch.no_grad()(called)

    def call(*arguments):
        tensors = [keras.ops.convert_to_tensor(argument, "float32") for argument in arguments]
        return keras.tree.map_structure(to_numpy, called(*tensors))

    return call


def to_numpy(tensor: Any) -> np.ndarray:
    """Convert a tensor, also one with a gradient, to a NumPy array; floats become float32."""
    array = keras.ops.convert_to_numpy(keras.ops.stop_gradient(tensor))
    return array.astype("float32") if keras.backend.is_float_dtype(str(array.dtype)) else array
