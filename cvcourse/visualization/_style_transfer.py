"""Style transfer: the content of one image in the style of another.

Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016,
https://openaccess.thecvf.com/content_cvpr_2016/html/Gatys_Image_Style_Transfer_CVPR_2016_paper.html,
in the form of CS231n's assignment, https://cs231n.github.io/assignments2020/assignment3/: sums of
squared differences, and Gram matrices over height x width x channels.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.layers.graph import Value
from cvcourse.visualization._stages import stages
from cvcourse.visualization.ascent import (
    Bounds,
    Callback,
    adam,
    features,
    noise,
    pixel_range,
    require_weights,
    total_variation,
)
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network, in_batches

STARTS = ("content", "noise")


def gram(model: keras.Model, images: Any, layer: Any) -> np.ndarray:
    """Compute the Gram matrices of a layer's channels, which describe a style.

    Args:
        model: keras.Model of images, which it does not change.
        images: Array (n, h, w, c), in the range that the model takes.
        layer: Name of a layer with values (n, …, channels), "model/layer" in a nested model, or the
            layer.

    Returns:
        Array (n, channels, channels) float32: sums over all places of the products of two channels,
        over places x channels.

    Raises:
        ValueError: If the images do not fit the model, or there is no such layer.

    >>> model = keras.Sequential([keras.Input((1, 2, 2)), keras.layers.ReLU(name="map"),
    ...                           keras.layers.Flatten()])
    >>> gram(model, np.array([[[[1.0, 0.0], [1.0, 2.0]]]]), "map")[0].tolist()
    [[0.5, 0.5], [0.5, 1.0]]
    """
    network = Network.of(model)
    return _grams(network, (_map(network, layer),), network.images(images))[0]


def style_loss(
    model: keras.Model,
    images: Any,
    content: Any,
    style: Any,
    *,
    content_layer: Any,
    style_layers: Sequence[Any],
    content_weight: float = 1.0,
    style_weights: Sequence[float] | float = 1.0,
    variation_weight: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the loss of style transfer and its gradient.

    The loss is the weighted sum of squared differences of the values of `content_layer` to those of
    the content images, of the Gram matrices of each of `style_layers` to those of the style images,
    and of vertical and horizontal neighbors (total variation).

    Args:
        model: keras.Model of images, which it does not change.
        images: Array (n, h, w, c), in the range that the model takes.
        content: Images of the same size, (n, h, w, c), or one for all.
        style: Images of any size that the model takes, (n, h, w, c), or one for all.
        content_layer: Name of a layer, "model/layer" in a nested model, or the layer.
        style_layers: Layers, likewise.
        content_weight: Weight of the content.
        style_weights: Weight of each style layer, or one for all.
        variation_weight: Weight of the total variation.

    Returns:
        (loss (n,), gradient with respect to the images (n, h, w, c)), float32.

    Raises:
        ValueError: If the images do not fit the model, or there is no such layer.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.ReLU(name="map"),
    ...                           keras.layers.Flatten()])
    >>> image, content = np.array([[[[1.0], [1.0]]]]), np.array([[[[2.0], [1.0]]]])
    >>> layers = dict(content_layer="map", style_layers=["map"])
    >>> loss, gradient = style_loss(model, image, content, content, **layers)
    >>> loss.tolist(), gradient.ravel().tolist()
    ([3.25], [-5.0, -3.0])
    """
    network = Network.of(model)
    taps = _taps(network, content_layer, style_layers)
    images = network.images(images)
    wanted = _wanted(network, taps, images, network.images(content), network.images(style))
    weights = _weights(content_weight, style_weights, variation_weight, len(style_layers))
    return in_batches(_loss(network, taps), images, np.tile(weights, (len(images), 1)), *wanted)


def style_transfer(
    model: keras.Model,
    content: Any,
    style: Any,
    *,
    content_layer: Any = None,
    style_layers: Sequence[Any] | None = None,
    content_weight: float = 0.1,
    style_weights: Sequence[float] | float = 1.0,
    variation_weight: float = 1e-5,
    start: str = "content",
    steps: int = 200,
    step_size: float = 0.02,
    bounds: Bounds = (0.0, 255.0),
    seed: int = 0,
    callback: Callback | None = None,
) -> np.ndarray:
    """Give images the style of other images.

    Adam minimizes `style_loss`. Here the weights are of relative terms, which depend little on the
    model: the squared difference of the content is over the squared norm of the content's values,
    that of a style layer over the squared norm of the style's Gram matrix. With `content_weight=0`
    and `start="noise"`, the result is a texture.

    Args:
        model: keras.Model of images, which it does not change.
        content: Images (n, h, w, c), in the range of `bounds`.
        style: Images (n, h, w, c), or one for all; of another size, they are scaled if the model
            has a fixed size.
        content_layer: Name of a layer, "model/layer" in a nested model, or the layer. If None, the
            end of the stage before the last one, by `stages`.
        style_layers: Layers, likewise. If None, the ends of all stages but the last.
        content_weight: Weight of the content.
        style_weights: Weight of each style layer, or one for all.
        variation_weight: Weight of the total variation, of pixels in units of the range.
        start: "content" to start from the content images, or "noise".
        steps: Number of steps.
        step_size: Step size of Adam, as a share of the range.
        bounds: Lowest and highest pixel, as numbers or one a channel.
        seed: Random seed of the noise.
        callback: Called after each step with its number, from 1, and the images.

    Returns:
        Images (n, h, w, c) float32.

    Raises:
        ValueError: As `style_loss`, or if a number is out of range.

    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.ReLU(name="map"),
    ...                           keras.layers.Flatten()])
    >>> dark, light = np.full((1, 4, 4, 1), 50.0), np.full((1, 4, 4, 1), 200.0)
    >>> layers = dict(content_layer="map", style_layers=["map"])
    >>> found = style_transfer(model, dark, light, **layers, content_weight=0.0)
    >>> float(found.mean().round())
    200.0
    """
    network = Network.of(model)
    if start not in STARTS:
        raise ValueError(f"start is {' or '.join(STARTS)}; received {start!r}")
    low, high = pixel_range(bounds)
    if content_layer is None or style_layers is None:
        ends = stages(model)
        if not ends:
            raise ValueError(f"{network.name} has no maps: choose content_layer and style_layers")
        content_layer = ends[max(-2, -len(ends))] if content_layer is None else content_layer
        style_layers = (ends[:-1] or ends) if style_layers is None else style_layers
    taps = _taps(network, content_layer, style_layers)
    content = network.images(content)
    wanted = _wanted(network, taps, content, content, _scaled(network, style))
    weights = _weights(content_weight, style_weights, variation_weight, len(style_layers))
    variation = np.full(len(content), np.mean(high - low) ** 2)
    norms = [np.square(part).reshape(len(part), -1).sum(axis=1) for part in wanted]
    relative = weights / np.maximum(np.stack([variation, *norms], axis=1), 1e-12)
    if start == "noise":
        begin = noise(network, len(content), content.shape[1:3], bounds, seed)
    else:
        begin = content
    function = _loss(network, taps)
    return adam(
        lambda x: in_batches(function, x, relative, *wanted)[1],
        begin,
        steps=steps,
        step_size=step_size,
        bounds=bounds,
        callback=callback,
    )


def _map(network: Network, layer) -> Value:
    """Return the Value of a layer that has channels at several places."""
    tap = network.tap(layer)
    if len(tap.shape) < 3:
        raise ValueError(f"{layer} has no channels at several places: its shape is {tap.shape}")
    return tap


def _taps(network: Network, content_layer, style_layers) -> tuple[Value, ...]:
    """Return the Values of the layers, that of the content first."""
    if isinstance(style_layers, str):
        raise ValueError(f"style_layers is a list of layers; received {style_layers!r}")
    return (network.tap(content_layer), *(_map(network, layer) for layer in style_layers))


def _weights(content, styles, variation, count) -> np.ndarray:
    """Return the weights of variation, content and each style layer."""
    require_weights(content_weight=content, style_weights=styles, variation_weight=variation)
    styles = np.asarray(styles, "float32")
    if styles.ndim and len(styles) != count:
        raise ValueError(f"{len(styles)} style_weights for {count} style_layers: one a layer")
    return np.array([variation, content, *np.broadcast_to(styles, count)], "float32")


def _wanted(network: Network, taps, images, content, style) -> list[np.ndarray]:
    """Return the content's values and the style's Gram matrices, for each of the images."""
    if content.shape[1:] != images.shape[1:]:
        raise ValueError(f"the content has the shape {content.shape}, the images {images.shape}")
    for name, given in (("content", content), ("style", style)):
        if len(given) not in (1, len(images)):
            raise ValueError(
                f"{len(given)} {name} images for {len(images)} images: one an image, or one for all"
            )
    parts = [features(network, taps[0], content), *_grams(network, taps[1:], style)]
    return [np.broadcast_to(part, (len(images), *part.shape[1:])) for part in parts]


def _scaled(network: Network, style) -> np.ndarray:
    """Scale style images to the size of a model of a fixed size."""
    style = np.asarray(style)
    sides = network.image_shape[:2]
    if style.ndim == 4 and None not in sides and style.shape[1:3] != sides:
        style = ops.image.resize(
            style.astype("float32"), sides, antialias=True, data_format="channels_last"
        )
        style = ops.convert_to_numpy(style)
    return network.images(style)


def _gram(values):
    """Compute Gram matrices of tensors: (n, …, c) -> (n, c, c) float32."""
    values = ops.cast(values, "float32")
    shape = ops.shape(values)
    rows = ops.reshape(values, (shape[0], -1, shape[-1]))
    count = ops.cast(ops.shape(rows)[1] * shape[-1], "float32")
    return ops.matmul(ops.transpose(rows, (0, 2, 1)), rows) / count


def _grams(network: Network, taps: tuple[Value, ...], images) -> list[np.ndarray]:
    """Return the Gram matrices (n, c, c) of each tap."""
    function = network.compiled(("gram", *taps), lambda x: [*map(_gram, network.call(x, taps)[1:])])
    return in_batches(function, images)


def _loss(network: Network, taps: tuple[Value, ...]):
    """Return the compiled function (images, weights, content, *grams) -> (loss, gradient)."""

    def gradient(x, weights, content, *grams):
        def objective(x):
            values = network.call(x, taps)[1:]
            found = [ops.cast(values[0], "float32"), *map(_gram, values[1:])]
            terms = [total_variation(x)]
            for value, wanted in zip(found, (content, *grams), strict=True):
                difference = ops.reshape(value - wanted, (ops.shape(x)[0], -1))
                terms.append(ops.sum(ops.square(difference), axis=1))
            return ops.sum(ops.stack(terms, axis=1) * weights, axis=1), ()

        loss, _, slope = value_and_gradient(objective, x)
        return loss, slope

    squares = [(None, tap.shape[-1], tap.shape[-1]) for tap in taps[1:]]
    shapes = [(None, len(taps) + 1), taps[0].shape, *squares]
    return network.compiled(("style", *taps), gradient, *shapes)
