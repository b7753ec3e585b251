"""Warning for raw pixels that reach a network of preprocessed pixels."""

import functools
import os

import keras
import numpy as np

from cvcourse.errors import warn_caller
from cvcourse.models.pretrained.preprocessing import SCALINGS

LARGEST = 10  # preprocessed pixels are smaller, unless only a mean is subtracted
EXAMPLES = 32  # of an array that are checked
# Methods that receive data. `call` is part of `__call__`. In the compiled step of the other methods
# it receives tensors without values, so these methods are checked themselves.
METHODS = (
    *("call", "fit", "evaluate", "predict"),
    *("train_on_batch", "test_on_batch", "predict_on_batch"),
)


def warn_of_raw_pixels(net, published):
    """Make a network warn, once, when it receives pixels above the range of its weights' scaling.

    Arrays and tensors are checked, not the batches of a dataset: reading one in advance could
    change the order of the others. Only the methods of this instance change, not its graph, copies
    or files.

    Args:
        net: keras.Model of preprocessed pixels.
        published: The `Published` of its weights.

    Returns:
        net.
    """
    mean, deviation = map(np.array, SCALINGS[published.scaling])
    low, high = ((value - mean) / deviation for value in (0, 255))
    limit = max(LARGEST, high.max() + 1)
    warned = False

    def watched(name):
        method = getattr(net, name)

        @functools.wraps(method)
        def with_check(*args, **kwargs):
            nonlocal warned
            if not warned:
                inputs = args[0] if args else kwargs.get("x", kwargs.get("inputs"))
                largest = _largest(inputs, all_examples=name == "call")
                if largest > limit:
                    warned = True
                    warn_caller(
                        f"{net.name} received pixels up to {largest:.1f}, but takes preprocessed "
                        f"ones (scaling {published.scaling!r}: {low.min():.1f} to "
                        f"{high.max():.1f}): pretrained.load without preprocessing=False returns a "
                        "model of raw photos, 0..255",
                        UserWarning,
                        os.path.dirname(keras.__file__),
                    )
            return method(*args, **kwargs)

        return with_check

    if published.scaling != "none":  # which takes raw pixels
        for name in METHODS:
            setattr(net, name, watched(name))
    return net


def _largest(inputs, all_examples):
    """Return the largest value of the (first) examples; 0 for tensors without values."""
    try:
        arrays = [
            # A slice of a tensor without values would be an operation of the graph.
            keras.ops.convert_to_numpy(one if all_examples else one[:EXAMPLES])
            for one in keras.tree.flatten(inputs)
            if hasattr(one, "shape")
        ]
        return max((float(array.max()) for array in arrays if array.size), default=0.0)
    except Exception:  # each backend has its own for a tensor without values
        return 0.0
