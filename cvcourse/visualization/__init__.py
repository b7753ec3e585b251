"""Attribution maps, feature inversion and other views into a keras.Model: one file a technique.

CS231n, lecture "Visualizing and Understanding". TensorFlow, JAX or torch computes the gradients, in
`gradients.py`.
"""

from cvcourse.visualization._codes import (
    codes,
    grid_of_thumbnails,
    neighbors,
    pca_map,
    tsne_map,
)
from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization.rectifiers import rectifiers, with_rectifiers
from cvcourse.visualization.units import (
    activations,
    dead_filters,
    first_layer_filters,
    strongest_patches,
)

__all__ = [
    "activations",
    "codes",
    "dead_filters",
    "first_layer_filters",
    "gradient_times_image",
    "grid_of_thumbnails",
    "neighbors",
    "pca_map",
    "rectifiers",
    "saliency",
    "strongest_patches",
    "tsne_map",
    "with_rectifiers",
]
