"""Attribution maps, feature inversion and other views into a keras.Model: one file a technique.

CS231n, lecture "Visualizing and Understanding". TensorFlow, JAX or torch computes the gradients, in
`gradients.py`.
"""

from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization.methods import METHODS, Method, occlusion_patch
from cvcourse.visualization.rectifiers import rectifiers, with_rectifiers

__all__ = [
    "METHODS",
    "Method",
    "gradient_times_image",
    "occlusion_patch",
    "rectifiers",
    "saliency",
    "with_rectifiers",
]
