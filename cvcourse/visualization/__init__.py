"""Attribution maps, feature inversion and other views into a keras.Model: one file a technique.

CS231n, lecture "Visualizing and Understanding". TensorFlow, JAX or torch computes the gradients, in
`gradients.py`.
"""

from cvcourse.visualization._occlusion import occlusion, to_pixels
from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization.rectifiers import rectifiers, with_rectifiers

__all__ = [
    "gradient_times_image",
    "occlusion",
    "rectifiers",
    "saliency",
    "to_pixels",
    "with_rectifiers",
]
