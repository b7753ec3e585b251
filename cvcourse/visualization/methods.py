"""The attribution methods as a table, for everything that compares them."""

import dataclasses
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Method:
    """An attribution method: (model, images, classes) -> maps.

    >>> METHODS["grad_cam"].title
    'Grad-CAM'

    Args:
        name: Name of the function in `cvcourse.visualization`.
        title: Name in texts.
        shows: Sentence: what the map shows.
        paper: Authors, year and URL.
        display: How a map is shown: "magnitude", the largest absolute value of the channels
            (Simonyan et al. 2014, section 3.1), "sum" of the channels, or in "color".
        takes_layer: Whether the function has the argument `layer`.
        takes_contrast: Whether the function has the argument `contrast`.
    """

    name: str
    title: str
    shows: str
    paper: str
    display: str = "sum"
    takes_layer: bool = False
    takes_contrast: bool = True

    def __call__(
        self, model: keras.Model, images: Any, classes: Any = None, **options: Any
    ) -> np.ndarray:
        """Compute maps.

        Args:
            model: keras.Model from images to logits or probabilities.
            images: Array (n, h, w, c), in the range that the model takes.
            classes: Class for all images, or one an image. If None, the likeliest class of each.
            **options: Further arguments of the function, such as `contrast` or `layer`.

        Returns:
            Maps (n, h, w) or (n, h, w, c) float32; for occlusion, the decrease of the probability.

        Raises:
            ValueError: As the function.
        """
        from cvcourse import visualization

        if self.name == "occlusion":
            return _decrease(model, images, classes, **options)
        return getattr(visualization, self.name)(model, images, classes, **options)

    def scores(
        self, model: keras.Model, images: Any, classes: Any = None, **options: Any
    ) -> np.ndarray:
        """Compute maps in whose order pixels are tested: magnitudes if they are displayed so.

        Args:
            model: As in a call.
            images: As in a call.
            classes: As in a call.
            **options: As in a call.

        Returns:
            Maps (n, h, w) or (n, h, w, c) float32, high where the image speaks for the class.

        Raises:
            ValueError: As the function.
        """
        maps = self(model, images, classes, **options)
        return self.displayed(maps) if self.display == "magnitude" else maps

    def displayed(self, maps: np.ndarray) -> np.ndarray:
        """Combine the channels of maps for a picture.

        Args:
            maps: Maps (n, h, w) or (n, h, w, c) of this method.

        Returns:
            Array (n, h, w), or (n, h, w, 3) for color.
        """
        if maps.ndim == 3 or (self.display == "color" and maps.shape[-1] == 3):
            return maps
        return np.abs(maps).max(axis=-1) if self.display == "magnitude" else maps.sum(axis=-1)


def occlusion_patch(height: int, width: int) -> dict[str, int]:
    """Return the arguments `patch` and `stride` of `occlusion` for an image: 32 and 8 for 224.

    Args:
        height: Height of the image in pixels.
        width: Its width.

    Returns:
        {"patch": side in pixels, "stride": pixels}.

    >>> occlusion_patch(224, 224)
    {'patch': 32, 'stride': 8}
    """
    side = min(height, width)
    patch = min(side, max(2, round(side / 7)))
    return {"patch": patch, "stride": max(1, patch // 4)}


def _decrease(model, images, classes, **options):
    """Return the mean decrease of the probability under the patches that cover a pixel."""
    from cvcourse.visualization import occlusion, to_pixels
    from cvcourse.visualization.network import Network

    network = Network.of(model, options.get("output"))
    images = network.images(images)
    classes = network.targets(images, classes)
    size = images.shape[1:3]
    options = occlusion_patch(*size) | options
    grid = occlusion(model, images, classes, **options)
    place = {key: options[key] for key in ("patch", "stride")}
    return to_pixels(grid, size, clear=network.class_probabilities(images, classes), **place)


METHODS = {
    method.name: method
    for method in (
        Method(
            "saliency",
            "Saliency",
            "The gradient of the logit: pixels whose change changes the logit most.",
            "Simonyan et al. 2014, https://arxiv.org/abs/1312.6034",
            display="magnitude",
        ),
        Method(
            "gradient_times_image",
            "Gradient times image",
            "The gradient times the pixel: the contribution of a pixel if the network were linear.",
            "Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713",
        ),
        Method(
            "smooth_grad",
            "SmoothGrad",
            "The mean gradient of noisy copies of the image, which has less noise than one.",
            "Smilkov et al. 2017, https://arxiv.org/abs/1706.03825",
            display="magnitude",
        ),
        Method(
            "integrated_gradients",
            "Integrated gradients",
            "The gradient averaged from a black image to this one, times the difference of the two "
            "images: the sum over the pixels is the difference of their logits.",
            "Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365",
        ),
        Method(
            "guided_backprop",
            "Guided backpropagation",
            "The gradient in which each ReLU lets only positive signals pass back: sharp, but "
            "close to a picture of the edges.",
            "Springenberg et al. 2015, https://arxiv.org/abs/1412.6806",
            display="color",
        ),
        Method(
            "deconvnet",
            "Deconvnet",
            "The logit projected back to pixels through the switches of the max pools.",
            "Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901",
            display="color",
        ),
        Method(
            "grad_cam",
            "Grad-CAM",
            "The last map of the network, each channel weighted by its mean gradient: where the "
            "evidence for the class is, coarsely.",
            "Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391",
            takes_layer=True,
        ),
        Method(
            "cam",
            "CAM",
            "The last map weighted by the classifier's weights, for networks that end in a mean "
            "and one dense layer.",
            "Zhou et al. 2016, https://arxiv.org/abs/1512.04150",
        ),
        Method(
            "guided_grad_cam",
            "Guided Grad-CAM",
            "Guided backpropagation times Grad-CAM: its details where the evidence is.",
            "Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391",
            takes_layer=True,
            display="color",
        ),
        Method(
            "occlusion",
            "Occlusion",
            "How much the probability decreases when a patch covers the pixel, without gradients.",
            "Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901",
            takes_contrast=False,
        ),
    )
}
