"""Explanation of one image by several methods, with the tests of the trust panel."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from cvcourse.errors import pick
from cvcourse.visualization._grad_cam import grid_of
from cvcourse.visualization._occlusion import occlusion, to_pixels
from cvcourse.visualization._trust_panel import TrustRow, trust_panel
from cvcourse.visualization.methods import METHODS, occlusion_patch
from cvcourse.visualization.network import Network


@dataclasses.dataclass(frozen=True)
class MethodResult:
    """Maps of one method for one image.

    Attributes:
        values: Map (h, w), or (h, w, 3) for a method displayed in color; channels are combined by
            `Method.displayed`.
        contrast: Map of the difference of the two logits; None if the method has none.
        seconds: Time for `values`, the first time with compiling.
        notes: Warnings of the method.
    """

    values: np.ndarray
    contrast: np.ndarray | None
    seconds: float
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Maps of one image by several methods.

    Attributes:
        image: The image (h, w, c).
        probabilities: Probabilities (classes,).
        target: Class that the maps are of.
        contrast: Class that it is compared with; None for a model of one class.
        results: {name of the method: its MethodResult}.
        unfit: {name of a method that does not fit the model: reason}.
        grid: Probabilities (rows, columns) of `occlusion`; None without that method.
        trust: {name of the method: its row of the trust panel}; none of a map of zeros.
        layer: Name of the layer of Grad-CAM; None if no method needs one.
        seconds: Time for all.
    """

    image: np.ndarray
    probabilities: np.ndarray
    target: int
    contrast: int | None
    results: dict[str, MethodResult]
    unfit: dict[str, str]
    grid: np.ndarray | None
    trust: dict[str, TrustRow]
    layer: str | None
    seconds: float


def explain(
    model: keras.Model,
    image: Any,
    methods: Sequence[str] | None = None,
    *,
    target: int | None = None,
    contrast: int | None = None,
    layer: Any = None,
    trust: bool = True,
    progress: Callable[[str], Any] | None = None,
    output: str | None = None,
) -> Explanation:
    """Explain an image by several methods.

    Args:
        model: keras.Model from images to logits or probabilities, which it does not change.
        image: Array (h, w, c), in the range that the model takes.
        methods: Names of METHODS; None for all.
        target: Class to explain; None for the likeliest apart from `contrast`.
        contrast: Class that it is compared with; None for the likeliest other one.
        layer: Layer of Grad-CAM; None for the last map before the classifier.
        trust: Whether to compute the trust panel, which takes several times as long as the maps.
        progress: Function of a line about each method; None for none.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        An Explanation. Methods that raise a ValueError are listed in `unfit`.

    Raises:
        ValueError: If the image does not fit the model, a class or layer does not exist, the layer
            gives no map, a method is unknown, or no method fits the model.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> found = explain(model, np.eye(2)[..., None], ["saliency"], trust=False)
    >>> found.target, found.contrast, found.results["saliency"].values[0]
    (0, 3, array([1., 0.], dtype=float32))
    """
    begun = time.perf_counter()
    tell = progress or (lambda line: None)
    chosen = {name: pick("method", name, METHODS) for name in methods or METHODS}
    network = Network.of(model, output)
    images = network.images(np.asarray(image)[None])
    if layer is not None:
        grid_of(network, network.tap(layer), layer, images.shape[1:3])  # checks it
    probabilities = keras.ops.convert_to_numpy(network.probabilities(network.predict(images)))[0]
    target, contrast = _classes(network, images, probabilities, target, contrast)
    height, width = images.shape[1:3]
    places = occlusion_patch(height, width)
    results: dict[str, MethodResult] = {}
    unfit: dict[str, str] = {}
    grid, tested = None, {}
    for name, method in chosen.items():
        options = {"output": output, **({"layer": layer} if method.takes_layer and layer else {})}
        start = time.perf_counter()
        other = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if name == "occlusion":
                    grid = occlusion(model, images, target, output=output, **places)
                    clear = float(probabilities[target])
                    maps = to_pixels(grid, (height, width), clear=clear, **places)
                    # A quarter of the places, since the panel computes the maps four times.
                    options["stride"] = 2 * places["stride"]
                else:
                    maps = method(model, images, target, **options)
                seconds = time.perf_counter() - start
                if contrast is not None and method.takes_contrast:
                    other = method(model, images, target, contrast=contrast, **options)
            except ValueError as error:
                unfit[name] = str(error)
                continue
        results[name] = MethodResult(
            method.displayed(maps)[0],
            None if other is None else method.displayed(other)[0],
            seconds,
            tuple(
                dict.fromkeys(
                    str(one.message).replace(" of image 0", "")  # there is only one
                    for one in caught
                    if issubclass(one.category, UserWarning)
                )
            ),
        )
        if maps.any():  # a map of zeros has no ranks to test
            tested[name] = functools.partial(method.scores, **options)
        tell(f"{name}: {seconds:.1f} s")
    if not results:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in unfit.items()))
    rows = []
    start = time.perf_counter()
    if trust:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of maps of the shuffled model
            rows = trust_panel(model, images, target, tested, output=output)
        tell(f"trust panel: {time.perf_counter() - start:.1f} s")
    total = time.perf_counter() - begun
    return Explanation(
        images[0],
        probabilities,
        target,
        contrast,
        results,
        unfit,
        None if grid is None else grid[0],
        {row.method: row for row in rows},
        _layer_name(network, layer) if any(chosen[name].takes_layer for name in results) else None,
        total,
    )


def _classes(network, images, probabilities, target, contrast):
    """Return the target and the class that it is compared with, which is None for one class."""
    order = np.argsort(-probabilities, kind="stable").tolist()
    if target is None:
        target = next((i for i in order if i != contrast), 0)
    if contrast is None:
        contrast = next((i for i in order if i != target), None)
    network.directions(images, target, contrast)  # checks both
    return target, contrast


def _layer_name(network, layer):
    if layer is None:
        return network.default_map()[0]
    return layer if isinstance(layer, str) else layer.name
