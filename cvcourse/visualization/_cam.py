"""CAM: the channels of the last map, weighted by the weights of a class.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
https://arxiv.org/abs/1512.04150, section 2, eq. 2.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from cvcourse.layers import AdaptiveAveragePooling2D
from cvcourse.layers.receptive_field import fields
from cvcourse.visualization._grad_cam import check_resize, class_maps, resized
from cvcourse.visualization._saliency import inputs
from cvcourse.visualization.network import PROBABILITIES, RESHAPES, Network, warn_of_zeros

MEANS = (
    layers.GlobalAveragePooling2D,
    layers.AdaptiveAveragePooling2D,
    AdaptiveAveragePooling2D,
)
UNWEIGHTED = (*RESHAPES, "Dropout", "Identity", "Cast")


def cam(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    resize: str | None = "receptive_field",
    output: str | None = None,
) -> np.ndarray:
    """Compute the class activation map of the map before the global average pooling.

    Its mean over the places, plus the bias, is the logit.

    Args:
        model: As in `saliency`; the logits are a mean of a map and at most one dense layer.
        images: As in `saliency`.
        classes: As in `saliency`.
        contrast: As in `saliency`.
        resize: As in `grad_cam`.
        output: As in `saliency`.

    Returns:
        Maps (n, h, w) float32, signed; of the map's size if not resized.

    Raises:
        ValueError: As `saliency`, or if the model ends in another way.

    >>> x = keras.Input((2, 2, 1))
    >>> y = keras.layers.GlobalAveragePooling2D()(x)
    >>> cam(keras.Model(x, y), [[[[0.0], [4.0]], [[8.0], [-1.0]]]], 0)[0]
    array([[ 0.,  4.],
           [ 8., -1.]], dtype=float32)
    """
    check_resize(resize)
    network, images, directions = inputs(model, images, classes, contrast, output)
    network.require_maps("CAM")
    tap = _averaged_map(network)
    # The gradient of a logit with respect to a place is the weight over the number of places.
    maps = class_maps(network, images, directions, tap, tap)
    maps *= np.prod(maps.shape[1:])
    field = fields(network.graph, images.shape[1:3])[tap]
    return warn_of_zeros(resized(maps, images, field, resize, "CAM"), "CAM")


def _averaged_map(network: Network):
    """Return the map whose mean the logits are linear in, or raise ValueError."""
    network.require_graph("it has no maps")
    made_by = {out: step for step in network.graph.steps for out in step.outputs}
    value, dense, found = network.logits, 0, "the image"
    while value in made_by:
        step = made_by[value]
        value, found = step.inputs[0], step.name
        if _is_global_mean(step):
            return value
        if _is_dense(network, step) and not dense:
            dense += 1
        elif type(step.operation).__name__ not in UNWEIGHTED:
            break
    raise ValueError(
        f"CAM needs logits that are a global average pooling and one dense layer of a map; "
        f"{network.name} has {found} between them: use grad_cam"
    )


def _is_global_mean(step):
    """Check whether a step is the mean over all places of a map."""
    before, after, operation = step.inputs[0].shape, step.outputs[0].shape, step.operation
    if len(before) != 4:
        return False
    if isinstance(operation, layers.AveragePooling2D):
        return tuple(operation.pool_size) == before[1:3]
    if type(operation).__name__ == "Mean":
        return sorted(axis % 4 for axis in np.atleast_1d(operation.axis or 0)) == [1, 2]
    return isinstance(operation, MEANS) and after[1:-1] in ((), (1, 1))


def _is_dense(network, step):
    """Check whether a step is linear, apart from a softmax at the end, and mixes channels only."""
    operation = step.operation
    name = getattr(getattr(operation, "activation", None), "__name__", "linear")
    ends = step.outputs[0] is network.logits
    pointwise = isinstance(operation, layers.Conv2D) and set(operation.kernel_size) == {1}
    return (isinstance(operation, layers.Dense) or pointwise) and (
        name == "linear" or (ends and name in PROBABILITIES)
    )
