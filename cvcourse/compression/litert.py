"""LiteRT files of 8-bit integers, and their predictions, by TensorFlow's converter and interpreter.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec: weights are
-127 to 127 with a scale for each channel, activations -128 to 127, biases 32-bit integers.
"""

import functools
import warnings

import keras
import numpy as np
from numpy.typing import ArrayLike

from cvcourse.compression.kernel_wrapper import bake
from cvcourse.compression.quantization import (
    calibrate,
    fake_quant,
    fake_quants,
    quantization_aware,
)
from cvcourse.compression.surgery import replaced
from cvcourse.layers.graph import require_graph


def convert(model: keras.Model, images: ArrayLike | None = None) -> bytes:
    """Convert a model to the content of a .tflite file of 8-bit integers.

    The file takes and returns float32, in batches of any size. The ranges of activations are those
    of the model's FakeQuant layers, so that the file rounds as the model does.

    Args:
        model: Functional or Sequential keras.Model with one input and one output. If it is not of
            `quantization_aware`, that is applied first, with 8 bits.
        images: Images (n, h, w, c) for `calibrate`. None for a model of `quantization_aware` that
            has been trained or calibrated.

    Returns:
        The content of the file.

    Raises:
        ValueError: For a model without ranges of activations, or with activations of other than 8
            bits, for images that do not fit (see `calibrate`), and for a model that LiteRT cannot
            represent.

    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> net.set_weights([np.array([[0.5], [1.0]])])
    >>> file = convert(net, np.linspace(0, 2, 24).reshape(12, 2))
    >>> predict(file, [[1.0, 2.0]]).round(1).tolist()
    [[2.5]]
    """
    import tensorflow as tf

    require_graph(model)
    if images is not None:
        aware = model if fake_quants(model) else quantization_aware(model)
        model = calibrate(aware, images)
    ranges = fake_quants(model)
    if all(float(layer.low) == float(layer.high) for layer in ranges.values()):
        raise ValueError(
            f"{model.name} has no ranges of activations: pass images of the training split"
        )
    for layer in ranges.values():
        if layer.bits != 8:
            raise ValueError(f"LiteRT needs 8-bit activations; {layer.name} has {layer.bits} bits")
    plain = replaced(bake(model), {name: [_constant(layer)] for name, layer in ranges.items()})
    constants = [(variable, _without_splat(np.array(variable))) for variable in plain.variables]

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec((None, *plain.input_shape[1:]), tf.float32)]
    )
    def predict(x):
        mapping = [(variable, tf.constant(value)) for variable, value in constants]
        with keras.StatelessScope(state_mapping=mapping):
            return plain(x, training=False)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [predict.get_concrete_function()], tf.Module()
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        return converter.convert()
    except Exception as error:  # of several classes, with the MLIR code in the text
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"LiteRT cannot represent {model.name}: {line}") from error


def predict(file: bytes, images: ArrayLike, batch_size: int = 100) -> np.ndarray:
    """Compute the outputs of a LiteRT file.

    Args:
        file: Content of a .tflite file with one float32 input and output.
        images: Images (n, h, w, c).
        batch_size: Number of images of a step.

    Returns:
        Outputs (n, …), float32.

    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> net.set_weights([np.array([[2.0]])])
    >>> predict(convert(net, np.arange(20.0)[:, None]), [[3.0], [9.5]]).round(0).tolist()
    [[6.0], [19.0]]
    """
    import tensorflow as tf

    images = np.asarray(images, "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the interpreter's move to another package
        interpreter = tf.lite.Interpreter(model_content=file)
    (place,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        interpreter.resize_tensor_input(place["index"], batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place["index"], batch)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"]))
    return np.concatenate(outputs)


def _constant(layer):
    """Return a FakeQuant's operation with constants, which the converter recognizes."""
    low, high = float(layer.low), float(layer.high)
    if low == high:
        return keras.layers.Identity(name=layer.name)
    function = functools.partial(fake_quant, low=low, high=high, bits=layer.bits)
    return keras.layers.Lambda(function, name=layer.name)


def _without_splat(array):
    """Change the last bit of a number if all are equal.

    TensorFlow 2.21 rounds a bias of equal numbers by the scale of the first channel only.
    """
    if array.ndim and array.size > 1 and array.flat[0] and (array == array.flat[0]).all():
        array.flat[0] = np.nextafter(array.flat[0], array.dtype.type(0))
    return array
