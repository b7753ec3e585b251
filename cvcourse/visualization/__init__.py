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
from cvcourse.visualization._deletion import deletion, insertion
from cvcourse.visualization._grid_pointing import GridPointing, grid_pointing
from cvcourse.visualization._occlusion import occlusion, to_pixels
from cvcourse.visualization._randomization_test import randomization_test
from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization._trust_panel import TrustRow, trust_panel
from cvcourse.visualization.methods import METHODS, Method, occlusion_patch
from cvcourse.visualization.rectifiers import rectifiers, with_rectifiers
from cvcourse.visualization.units import (
    activations,
    dead_filters,
    first_layer_filters,
    strongest_patches,
)

__all__ = [
    "METHODS",
    "GridPointing",
    "Method",
    "TrustRow",
    "deletion",
    "activations",
    "codes",
    "dead_filters",
    "first_layer_filters",
    "gradient_times_image",
    "grid_of_thumbnails",
    "neighbors",
    "pca_map",
    "grid_pointing",
    "insertion",
    "occlusion",
    "occlusion_patch",
    "randomization_test",
    "rectifiers",
    "saliency",
    "to_pixels",
    "trust_panel",
    "strongest_patches",
    "tsne_map",
    "with_rectifiers",
]
