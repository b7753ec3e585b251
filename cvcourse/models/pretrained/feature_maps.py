"""Feature maps of photos by a network with published weights: a vector for each place.

What a captioning net looks at in Xu et al., "Show, Attend and Tell", ICML 2015,
https://arxiv.org/abs/1502.03044, section 3.1.1.
"""

import dataclasses
import math

import keras
import numpy as np
from keras import layers

from cvcourse.models.pretrained.catalog import Published
from cvcourse.models.pretrained.loading import load_published
from cvcourse.models.pretrained.preprocessing import resize_of, with_preprocessing

LENGTH = 5.0  # of a place's vector


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """A network behind the preprocessing of its weights, up to its last map.

    Attributes:
        model: keras.Model from squares (batch, side, side, 3) of 0..255 to {"features": (batch, m,
            c)}, the m places of the map row by row.
        published: Which weights they are.
        grid: Rows and columns of the map; m is their product.
        size: Pixels of the side of the square's middle that the network sees.
    """

    model: keras.Model
    published: Published
    grid: tuple[int, int]
    size: int

    @classmethod
    def load(cls, name, weights="default", knobs=None, *, size=None, **settings):
        """Load a network with published weights.

        Args:
            name: Network.
            weights: As in `load`.
            knobs: {knob: value} of its builder.
            size: Pixels of the side of the images that it sees; None for its weights' own.
            settings: weights_dir and allow_noncommercial of `load`.

        Vectors are scaled to one length, at which neither the map nor the words of a captioning
        net drown each other.

        Raises:
            ValueError, RunError, UsageError: As `load`.
        """
        knobs = dict(knobs or {})
        for knob in ("input_shape", "num_classes"):
            if knob in knobs:
                raise ValueError(f"--backbone_args: {knob} is set by --size, or not needed")
        if size:
            knobs["input_shape"] = (size, size, 3)
        # The classifier is not used, and a file may lack it.
        net, published = load_published(name, weights, num_classes=1000, **knobs, **settings)
        size = net.input_shape[1]
        side = resize_of(published, size)
        prepared = with_preprocessing(net, published, (side, side, 3))
        features = prepared.get_layer("features").output
        if len(features.shape) == 4:
            grid = features.shape[1:3]
        else:  # a ViT's tokens, of which the first may stand for all
            grid = (math.isqrt(features.shape[1]),) * 2
            features = features[:, features.shape[1] - math.prod(grid) :]
        shape = (math.prod(grid), features.shape[-1])
        features = layers.Reshape(shape, name="places")(features)
        features = layers.UnitNormalization(dtype="float32", name="of_length_1")(features)
        features = layers.Rescaling(LENGTH, dtype="float32", name="length")(features)
        model = keras.Model(prepared.input, {"features": features}, name="eye")
        return cls(model, published, tuple(grid), size)

    @property
    def squares(self):
        """How photos become squares: arguments of `cvcourse.data.caption_rows.squares`."""
        return {
            "side": self.model.input_shape[1],
            "interpolation": self.published.interpolation,
            "crop": self.published.resize > 0,
        }

    def seen(self, square):
        """Return the part of a square that the network sees: (side, side, 3) -> (size, size, 3)."""
        before = (len(square) - self.size) // 2
        middle = slice(before, before + self.size)
        return np.uint8(np.clip(square[middle, middle].round(), 0, 255))
