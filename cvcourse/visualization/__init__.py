"""Attribution maps, feature inversion and other views into a keras.Model: one file a technique.

CS231n, lecture "Visualizing and Understanding". TensorFlow, JAX or torch computes the gradients, in
`gradients.py`.
"""

from cvcourse.visualization._cam import cam
from cvcourse.visualization._class_image import class_image
from cvcourse.visualization._codes import (
    codes,
    grid_of_thumbnails,
    neighbors,
    pca_map,
    tsne_map,
)
from cvcourse.visualization._deconvnet import deconvnet
from cvcourse.visualization._deletion import deletion, insertion
from cvcourse.visualization._dream import dream, dream_objective, dream_step
from cvcourse.visualization._explanation import Explanation, MethodResult, explain
from cvcourse.visualization._fgsm import fgsm
from cvcourse.visualization._fooling_image import fooling_image
from cvcourse.visualization._grad_cam import grad_cam, guided_grad_cam
from cvcourse.visualization._grid_pointing import GridPointing, grid_pointing
from cvcourse.visualization._guided_backprop import guided_backprop
from cvcourse.visualization._integrated_gradients import completeness_delta, integrated_gradients
from cvcourse.visualization._inversion import inversion_loss, invert
from cvcourse.visualization._occlusion import occlusion, to_pixels
from cvcourse.visualization._randomization_test import randomization_test
from cvcourse.visualization._receptive_field import ReceptiveField, boxes, receptive_field
from cvcourse.visualization._rectifiers import rectifiers, with_rectifiers
from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization._smooth_grad import smooth_grad
from cvcourse.visualization._stages import stages
from cvcourse.visualization._style_transfer import gram, style_loss, style_transfer
from cvcourse.visualization._trust_panel import TrustRow, trust_panel
from cvcourse.visualization.methods import METHODS, Method, occlusion_patch
from cvcourse.visualization.units import (
    activations,
    dead_filters,
    first_layer_filters,
    strongest_patches,
)

__all__ = [
    "METHODS",
    "Explanation",
    "GridPointing",
    "Method",
    "MethodResult",
    "ReceptiveField",
    "TrustRow",
    "activations",
    "boxes",
    "cam",
    "class_image",
    "codes",
    "completeness_delta",
    "dead_filters",
    "deconvnet",
    "deletion",
    "dream",
    "dream_objective",
    "dream_step",
    "explain",
    "fgsm",
    "first_layer_filters",
    "fooling_image",
    "grad_cam",
    "gradient_times_image",
    "gram",
    "grid_of_thumbnails",
    "grid_pointing",
    "guided_backprop",
    "guided_grad_cam",
    "insertion",
    "integrated_gradients",
    "inversion_loss",
    "invert",
    "neighbors",
    "occlusion",
    "occlusion_patch",
    "pca_map",
    "randomization_test",
    "receptive_field",
    "rectifiers",
    "saliency",
    "smooth_grad",
    "stages",
    "strongest_patches",
    "style_loss",
    "style_transfer",
    "to_pixels",
    "trust_panel",
    "tsne_map",
    "with_rectifiers",
]
