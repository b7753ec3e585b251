"""PCA, whitening and ZCA: rotate and scale images so that their numbers are uncorrelated.

The course's notes on data preprocessing, https://cs231n.github.io/neural-networks-2/. ZCA: Bell &
Sejnowski, "The 'independent components' of natural scenes are edge filters", Vision Research 1997.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.errors import unknown
from cvcourse.layers.moments import covariance, mean

# kind: (U, S, epsilon) -> projection of an image less the mean; U S U' is the covariance
PROJECTIONS = {
    "pca": lambda u, s, epsilon: u,
    "pca_whitening": lambda u, s, epsilon: u / np.sqrt(s + epsilon),
    "zca": lambda u, s, epsilon: u / np.sqrt(s + epsilon) @ u.T,
}


@keras.saving.register_keras_serializable("cvcourse")
class Whitening(keras.layers.Layer):
    """Apply PCA, PCA whitening or ZCA to flattened images.

    "pca" computes (x - mean) U, which decorrelates; "pca_whitening" divides it by
    sqrt(S + epsilon), so that each component has variance 1; "zca" multiplies this by U', so that
    the result resembles the images. U and S are the eigenvectors and eigenvalues of the covariance
    X'X / N of the flattened images, largest first. Before `adapt`, the layer is the identity.

    Images of n numbers need a matrix of n * n, which is saved with the model: 36 MiB for 32x32x3.

    Args:
        kind: "pca", "pca_whitening" or "zca".
        components: Number of components. Defaults to all.
        epsilon: Added to S, in squared units of the pixels, so that directions of smaller variance
            are damped. With fewer images than numbers per image, some directions have no variance.
        **kwargs: See keras.layers.Layer; dtype is float32 by default.

    Shapes:
        (batch, …) -> (batch, components) float32; for "zca" (batch, …)

    Raises:
        ValueError: For an unknown kind, or more components than numbers.

    >>> layer = Whitening("pca_whitening", components=2)
    >>> images = np.random.default_rng(0).normal(size=(50, 2, 2, 1)) * [[[5], [3]], [[2], [1]]]
    >>> layer.adapt(images)
    >>> np.cov(np.array(layer(images)).T, bias=True).round(3).diagonal().tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        kind: str = "zca",
        components: int | None = None,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels
        if kind not in PROJECTIONS:
            raise ValueError(unknown("kind of whitening", kind, PROJECTIONS))
        self.kind, self.components, self.epsilon = kind, components, epsilon

    def build(self, input_shape):
        size = int(np.prod(input_shape[1:]))
        kept = size if self.components is None else self.components
        if not 1 <= kept <= size:
            raise ValueError(
                f"an image of {size} numbers has no {kept} components: choose 1 to {size}"
            )
        self.mean = self.add_weight(
            name="mean", shape=(size,), initializer="zeros", trainable=False
        )
        self.projection = self.add_weight(
            name="projection",
            shape=(size, size if self.kind == "zca" else kept),
            initializer="identity",
            trainable=False,
        )

    def adapt(self, images):
        """Compute mean and components of images (n, …); use the training split only."""
        if not self.built:
            self.build(images.shape)
        center = mean(images, self.mean.shape[0])
        u, s, _ = np.linalg.svd(covariance(images, center), hermitian=True)
        kept = slice(self.components)
        self.mean.assign(center)
        self.projection.assign(PROJECTIONS[self.kind](u[:, kept], s[kept], self.epsilon))

    def call(self, inputs):
        flat = ops.reshape(inputs, (-1, self.mean.shape[0]))
        x = ops.matmul(flat - self.mean, self.projection)
        return ops.reshape(x, (-1, *inputs.shape[1:])) if self.kind == "zca" else x
