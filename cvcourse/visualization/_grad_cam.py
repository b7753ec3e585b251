"""Grad-CAM: the channels of a map, weighted by the mean gradient of a class's logit.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, https://arxiv.org/abs/1610.02391, section 3, eq. 1 and 2.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.errors import unknown, warn_caller
from cvcourse.layers.graph import Value
from cvcourse.layers.receptive_field import Field, fields
from cvcourse.visualization._guided_backprop import guided_backprop
from cvcourse.visualization._receptive_field import resize_maps
from cvcourse.visualization._saliency import directions_of, inputs
from cvcourse.visualization.execution import needed_steps
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network, in_batches, tell_once, warn_of_zeros

RESIZES = ("receptive_field", "bilinear")
EXTRA_TOKENS = 5  # a class token, and the four registers of https://arxiv.org/abs/2309.16588


def grad_cam(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    layer: Any = None,
    resize: str | None = "receptive_field",
    output: str | None = None,
) -> np.ndarray:
    """Compute the Grad-CAM of a class.

    Args:
        model: As in `saliency`.
        images: As in `saliency`.
        classes: As in `saliency`.
        contrast: As in `saliency`.
        layer: Name of a layer, or the layer, whose output is a map (n, h, w, c) or tokens
            (n, tokens, c), with extra tokens first. If None, the last map before the classifier,
            or the input of the last attention; its name is printed on standard error once.
        resize: "receptive_field" interpolates with each cell at the middle of its receptive field,
            "bilinear" with cells as equal parts of the image, and None returns the cells. If the
            receptive field is unknown, "receptive_field" is "bilinear", with a warning.
        output: As in `saliency`.

    Returns:
        Maps (n, h, w) float32 of at least 0, not normalized; of the layer's size if not resized.

    Raises:
        ValueError: As `saliency`, or if there is no such layer, or its output is no map.

    >>> x = keras.Input((2, 2, 1))
    >>> y = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    >>> grad_cam(keras.Model(x, y), [[[[0.0], [4.0]], [[8.0], [0.0]]]], 0)[0]
    array([[0., 1.],
           [2., 0.]], dtype=float32)
    """
    network, images, directions = inputs(model, images, classes, contrast, output)
    check_resize(resize)
    network.require_maps("Grad-CAM")
    if layer is None:
        layer, tap = network.once("default_map", network.default_map)
        tell_once(network, f"Grad-CAM of the layer {layer}")
    else:
        tap = network.tap(layer)
    size = images.shape[1:3]
    grid, field = network.once(("grid", tap, size), lambda: grid_of(network, tap, layer, size))
    maps = np.maximum(class_maps(network, images, directions, tap, grid), 0)
    return warn_of_zeros(resized(maps, images, field, resize, "Grad-CAM"), "Grad-CAM")


def guided_grad_cam(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    layer: Any = None,
    resize: str = "receptive_field",
    output: str | None = None,
) -> np.ndarray:
    """Compute guided backpropagation times Grad-CAM, as in the paper.

    Args:
        model: As in `saliency`, with ReLUs; see `with_rectifiers`.
        images: As in `saliency`.
        classes: As in `saliency`.
        contrast: As in `saliency`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`, but not None.
        output: As in `saliency`.

    Returns:
        Products (n, h, w, c) float32, signed.

    Raises:
        ValueError: As `guided_backprop` and `grad_cam`.

    >>> x = keras.Input((2, 2, 1))
    >>> y = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    >>> guided_grad_cam(keras.Model(x, y), [[[[0.0], [4.0]], [[8.0], [0.0]]]], 0)[0, :, :, 0]
    array([[0.  , 0.25],
           [0.5 , 0.  ]], dtype=float32)
    """
    if resize is None:
        raise ValueError(unknown("resize", resize, RESIZES))
    form = {"contrast": contrast, "output": output}
    coarse = grad_cam(model, images, classes, layer=layer, resize=resize, **form)
    return coarse[..., None] * guided_backprop(model, images, classes, **form)


def class_maps(
    network: Network, images: np.ndarray, directions: np.ndarray, tap: Value, grid: Value
) -> np.ndarray:
    """Sum the channels of a map, weighted by the mean gradient of the objective over its places.

    Args:
        network: Network of the model.
        images: Array (n, h, w, c).
        directions: Weights of the logits (n, classes); zeros for the likeliest class.
        tap: Value (batch, h, w, c) or (batch, tokens, c).
        grid: Map (batch, h, w, …) that the tokens were cut from; the tap itself if it is a map.

    Returns:
        Sums (n, h, w) float32, signed.
    """

    def weighted(x, weights):
        def objective(values):
            logits = network.call(x, known={tap: values})[0]
            return ops.sum(logits * directions_of(logits, weights), axis=1), ()

        values = network.call(x, [tap])[1]
        gradient = value_and_gradient(objective, values)[2]
        values, gradient = (ops.cast(each, "float32") for each in (values, gradient))
        if tap is not grid:
            rows, columns = grid.shape[1:3]
            shape = (-1, rows, columns, tap.shape[-1])
            values, gradient = (
                ops.reshape(tokens[:, tap.shape[1] - rows * columns :], shape)
                for tokens in (values, gradient)
            )
        return ops.sum(ops.mean(gradient, axis=(1, 2), keepdims=True) * values, axis=-1)

    function = network.compiled(("class_maps", tap), weighted, (None, directions.shape[1]))
    return in_batches(function, images, directions)


def check_resize(resize):
    """Raise ValueError for an unknown `resize`."""
    if resize not in (*RESIZES, None):
        raise ValueError(unknown("resize", resize, RESIZES))


def resized(maps, images, field: Field | None, resize, technique):
    """Resize maps (n, rows, columns) to the size of the images; see `grad_cam`."""
    if resize is None:
        return maps
    if resize == "receptive_field" and field is None:
        warn_caller(
            f"{technique}: the receptive field of the map is unknown, since an operation before it "
            "moves pixels: its cells are taken as equal parts of the image",
            UserWarning,
        )
    return resize_maps(maps, images.shape[1:3], field if resize == "receptive_field" else None)


def grid_of(network, tap, layer, image_size):
    """Return (map, its Field): the tap, or the map that the tap's tokens were cut from."""
    found = fields(network.graph, image_size)
    if len(tap.shape) == 4:
        return tap, found[tap]
    if len(tap.shape) == 3 and tap.shape[1]:
        before = needed_steps(network.graph.steps, [tap])
        values = [step.outputs[0] for step in network.graph.steps if step in before]
        maps = [v for v in values if found[v] is not None and None not in v.shape[1:3]]
        extra = {v: tap.shape[1] - v.shape[1] * v.shape[2] for v in maps}
        grids = [v for v in maps if 0 <= extra[v] <= EXTRA_TOKENS]
        if grids:
            return grids[-1], found[grids[-1]]
    name = getattr(layer, "name", layer)
    raise ValueError(
        f"{name} has the shape {tap.shape}: a map (n, h, w, c) is needed, or the tokens "
        "(n, tokens, c) of a map"
    )
