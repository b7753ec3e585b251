"""Feature maps of photos, by a network with published weights: a vector for each position.

The annotation vectors of Xu et al., "Show, Attend and Tell", ICML 2015,
https://arxiv.org/abs/1502.03044, section 3.1.1.
"""

import dataclasses
import math
import os
from typing import Any

import keras
import numpy as np
from keras import layers

from cvcourse.deprecation import takes_old_names
from cvcourse.models.pretrained.catalog import Published
from cvcourse.models.pretrained.loading import load_published
from cvcourse.models.pretrained.preprocessing import resize_of, with_preprocessing

LENGTH = 5.0  # of each vector


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """A network with the preprocessing of its weights, up to its last feature map.

    Args:
        model: keras.Model from squares (batch, side, side, 3) of 0..255 to {"features": (batch, m,
            c)}, the m positions of the map row by row.
        published: Description of the weights.
        grid: Rows and columns of the map; m is their product.
        size: Side of the center crop that the network sees, in pixels.

    >>> from cvcourse.models import pretrained
    >>> image = keras.Input((224, 224, 3))
    >>> net = keras.Model(image, {"features": layers.AveragePooling2D(32)(image)})
    >>> FeatureMaps(net, pretrained.find("resnet18"), (7, 7), 224)
    FeatureMaps('torchvision.resnet18:IMAGENET1K_V1', grid=(7, 7), channels=3, size=224)
    """

    model: keras.Model
    published: Published
    grid: tuple[int, int]
    size: int

    def __repr__(self) -> str:
        channels = self.model.output["features"].shape[-1]
        return (
            f"FeatureMaps({str(self.published)!r}, grid={self.grid}, channels={channels}, "
            f"size={self.size})"
        )

    @classmethod
    @takes_old_names(knobs="builder_args")
    def load(
        cls,
        name: str,
        weights: str | os.PathLike = "default",
        builder_args: dict[str, Any] | None = None,
        *,
        size: int | None = None,
        weights_dir: str | os.PathLike | None = None,
        allow_noncommercial: bool = False,
        **settings: Any,
    ) -> "FeatureMaps":
        """Load the feature maps of a network with published weights.

        Vectors are scaled to one length, so that in a captioning network neither the map nor the
        words dominate.

        Args:
            name: As in `pretrained.load`.
            weights: As in `pretrained.load`; a file may lack the classifier.
            builder_args: Arguments of the builder, as a dict.
            size: Side of the images that the network sees, in pixels. If None, that of the weights.
            weights_dir: As in `pretrained.load`.
            allow_noncommercial: As in `pretrained.load`.
            **settings: Arguments of the builder, as in `pretrained.load`.

        Returns:
            A FeatureMaps.

        Raises:
            ValueError, RunError, UsageError: As `pretrained.load`; ValueError also if
                `builder_args` has input_shape or num_classes.
        """
        builder_args = dict(builder_args or {})
        for argument in ("input_shape", "num_classes"):
            if argument in builder_args:
                raise ValueError(f"--backbone_args: {argument} is set by --size, or not needed")
        if size:
            builder_args["input_shape"] = (size, size, 3)
        net, published = load_published(
            name,
            weights,
            num_classes=1000,  # the classifier is not used, and a file may lack it
            weights_dir=weights_dir,
            allow_noncommercial=allow_noncommercial,
            **builder_args,
            **settings,
        )
        size = net.input_shape[1]
        side = resize_of(published, size)
        prepared = with_preprocessing(net, published, (side, side, 3))
        features = prepared.get_layer("features").output
        if len(features.shape) == 4:
            grid = features.shape[1:3]
        else:  # a ViT's tokens, of which the first may be the class token
            grid = (math.isqrt(features.shape[1]),) * 2
            features = features[:, features.shape[1] - math.prod(grid) :]
        shape = (math.prod(grid), features.shape[-1])
        features = layers.Reshape(shape, name="places")(features)
        features = layers.UnitNormalization(dtype="float32", name="of_length_1")(features)
        features = layers.Rescaling(LENGTH, dtype="float32", name="length")(features)
        model = keras.Model(prepared.input, {"features": features}, name="eye")
        return cls(model, published, tuple(grid), size)

    @property
    def squares(self) -> dict[str, Any]:
        """Arguments of `cvcourse.data.caption_rows.squares`, which makes photos square."""
        return {
            "side": self.model.input_shape[1],
            "interpolation": self.published.interpolation,
            "crop": self.published.resize > 0,
        }

    def seen(self, square: np.ndarray) -> np.ndarray:
        """Return the part of a square that the network sees.

        Args:
            square: (side, side, 3) of 0..255.

        Returns:
            The center crop (size, size, 3), uint8.
        """
        before = (len(square) - self.size) // 2
        middle = slice(before, before + self.size)
        return np.clip(square[middle, middle].round(), 0, 255).astype("uint8")
