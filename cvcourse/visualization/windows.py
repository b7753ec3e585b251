"""Probabilities of images that differ from known images in a window, computed from the window.

A value of a map depends on the pixels of its receptive field alone. A patch therefore changes few
values of the first maps: these are computed from a part of the image, and put into the maps of the
whole image.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvcourse.layers.graph import Value
from cvcourse.layers.receptive_field import Field, fields
from cvcourse.visualization.gradients import compiled
from cvcourse.visualization.network import Network, bottlenecks, in_batches

LOCAL = (  # layers and operations that compute a value from its receptive field, at any size
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "GroupedConv2D", "BatchNormalization"),
    *("Activation", "ReLU", "LeakyReLU", "Relu", "Relu6", "LocalResponseNorm", "Rescaling"),
    *("MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Pad", "Add", "Concatenate"),
    *("Dropout", "Identity"),
)
LEAST_SAVING = 0.1  # share of the multiply-accumulates; below, pasting takes as much time


@dataclasses.dataclass(frozen=True)
class Windows:
    """A map that is computed from parts of the image.

    Attributes:
        network: Network of the model.
        at: Value that all later steps depend on alone.
        field: Its receptive field.
        part: Height and width of the parts, in pixels.
    """

    network: Network
    at: Value
    field: Field
    part: tuple[int, int]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Compute the map of images, or of parts of images."""
        shape = (None, None, None, images.shape[-1])
        function = self.network.once(
            ("local map", self.at),
            lambda: compiled(
                lambda x: self.network.value(x, self.at), [shape], self.network.model.variables
            ),
        )
        return in_batches(function, images)

    def logits(self, maps: np.ndarray) -> np.ndarray:
        """Compute logits from the map."""
        function = self.network.once(
            ("logits of a map", self.at),
            lambda: compiled(
                lambda values: self.network.call(None, known={self.at: values})[0],
                [self.at.shape],
                self.network.model.variables,
            ),
        )
        return function(maps)

    def covered(
        self, images: np.ndarray, maps: np.ndarray, corners: np.ndarray, patch, fill: np.ndarray
    ) -> np.ndarray:
        """Compute the map of images that are covered by a patch.

        Args:
            images: The images without a patch (k, h, w, c).
            maps: Their maps, which are changed.
            corners: First row and column of the patch (k, 2).
            patch: Its height and width.
            fill: Image (h, w, c) that shows through the patch.

        Returns:
            The maps.
        """
        parts, places = [], []
        for image, corner in zip(images, corners, strict=True):
            sides = (image.shape[:2], corner, patch, self.part, *self.field[:3])
            axes = [_place(*each) for each in zip(*sides, strict=True)]
            (top, left), whole, part = zip(*axes, strict=True)
            height, width = self.part
            piece = image[top : top + height, left : left + width].copy()
            first = np.maximum(corner - (top, left), 0)
            last = np.add(corner, patch) - (top, left)
            window = np.s_[first[0] : last[0], first[1] : last[1]]
            piece[window] = fill[top : top + height, left : left + width][window]
            parts.append(piece)
            places.append((whole, part))
        for one, found, (whole, part) in zip(maps, self.maps(np.stack(parts)), places, strict=True):
            one[whole] = found[part]
        return maps


def windows(network: Network, image_size: Sequence[int], patch: Sequence[int]) -> Windows | None:
    """Choose the map up to which most computation is saved.

    Args:
        network: Network of the model.
        image_size: Height and width of the images.
        patch: Height and width of the patches.

    Returns:
        A Windows; None if no map is local, or little is saved.
    """
    if network.subclassed:
        return None
    steps, found = network.between(), fields(network.graph, (image_size[0], image_size[1]))
    on_all_paths = bottlenecks(steps, network.input)
    works = [_work(step) for step in steps]
    best, most = None, LEAST_SAVING * sum(works)
    for place, step in enumerate(steps):
        if not _is_local(step):
            break
        field = found[step.outputs[0]]
        if step not in on_all_paths or field is None or field.whole or len(step.outputs) > 1:
            continue
        if not all(float(n).is_integer() for pair in field[:3] for n in pair):
            continue
        field = Field(_whole(field.size), _whole(field.step), _whole(field.start))
        part = (
            _part(image_size[0], patch[0], field.size[0], field.step[0]),
            _part(image_size[1], patch[1], field.size[1], field.step[1]),
        )
        saving = sum(works[: place + 1]) * (1 - math.prod(part) / math.prod(image_size))
        if saving > most:
            best, most = Windows(network, step.outputs[0], field, part), saving
    return best


def _place(side, first, patch, part, size, step, start):
    """Return, along an axis, the first pixel of the part, and the changed values.

    Returns:
        (pixel, slice of the values in the whole map, slice in the map of the part).
    """
    begin = max(math.ceil((first - size + 1 - start) / step), 0)
    end = (min(first + patch, side) - 1 - start) // step + 1
    pixel = min(max(start + step * begin, 0) // step * step, side - part)
    shift = pixel // step
    return pixel, slice(begin, end), slice(begin - shift, end - shift)


def _part(side, patch, size, step):
    """Return the side of the part: all that changed values see, from a multiple of the step on."""
    needed = patch + 2 * (size - 1) + step - 1
    return min(side, needed + (side - needed) % step)


def _whole(pair) -> tuple[int, int]:
    return int(pair[0]), int(pair[1])


def _is_local(step) -> bool:
    kind = type(step.operation).__name__
    ours = type(step.operation).__module__.startswith(("keras.", "cvcourse."))
    constant = kind != "Pad" or step.operation.mode == "constant"
    return ours and kind in LOCAL and constant and all(len(v.shape) == 4 for v in step.inputs)


def _work(step) -> int:
    """Return about the multiply-accumulates of a step."""
    weights: Any = getattr(step.operation, "weights", ())
    kernels = sum(math.prod(weight.shape) for weight in weights if len(weight.shape) > 1)
    sides = step.outputs[0].shape[1:-1]
    return kernels * math.prod(side or 1 for side in sides)
