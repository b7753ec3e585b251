"""PCA, whitening and ZCA: turn images so that their numbers no longer depend on each other.

The course's notes on data preprocessing, https://cs231n.github.io/neural-networks-2/. ZCA: Bell &
Sejnowski, "The 'independent components' of natural scenes are edge filters", Vision Research 1997.
"""

import keras
import numpy as np
from keras import ops

from cvcourse.errors import unknown
from cvcourse.layers.moments import covariance, mean

# kind: (U, S, epsilon) -> what an image less the mean is multiplied by; U S U' is the covariance
PROJECTIONS = {
    "pca": lambda u, s, epsilon: u,
    "pca_whitening": lambda u, s, epsilon: u / np.sqrt(s + epsilon),
    "zca": lambda u, s, epsilon: u / np.sqrt(s + epsilon) @ u.T,
}


@keras.saving.register_keras_serializable("cvcourse")
class Whitening(keras.layers.Layer):
    """(x - mean) U, that divided by sqrt(S + epsilon), or that times U': by `kind`.

    "pca" decorrelates, "pca_whitening" gives each component the variance 1 as well, "zca" turns the
    result back, so that it resembles the images. U and S are the eigenvectors and eigenvalues of
    the covariance X'X / N of the flattened images, largest first, of which `components` are used,
    or all. S has the square of the pixels' unit; what varies by less than epsilon is damped, and
    with fewer images than numbers in one, some directions do not vary at all. Before `adapt`, the
    numbers pass unchanged.

    n numbers an image take a matrix of n * n: 36 MiB for 32x32x3, which is saved with the model.

    Shapes: (batch, …) -> (batch, components), for "zca" the same; float32. Raises ValueError for an
    unknown kind, and for more components than numbers.
    """

    def __init__(self, kind="zca", components=None, epsilon=1e-5, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels
        if kind not in PROJECTIONS:
            raise ValueError(unknown("kind of whitening", kind, PROJECTIONS))
        self.kind, self.components, self.epsilon = kind, components, epsilon

    def build(self, input_shape):
        size = int(np.prod(input_shape[1:]))
        kept = size if self.components is None else self.components
        if not 1 <= kept <= size:
            raise ValueError(
                f"an image of {size} numbers has no {kept} components: take 1 to {size}"
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
        """Take mean and components of (n, …) images, those of the training split alone."""
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
