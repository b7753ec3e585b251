"""Attribution maps, feature inversion and other views into a keras.Model: one file a technique.

CS231n, lecture "Visualizing and Understanding". TensorFlow, JAX or torch computes the gradients, in
`gradients.py`.
"""

from cvcourse.visualization._class_image import class_image
from cvcourse.visualization._dream import dream, dream_objective, dream_step
from cvcourse.visualization._fooling_image import fooling_image
from cvcourse.visualization._inversion import inversion_loss, invert
from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization._style_transfer import gram, style_loss, style_transfer
from cvcourse.visualization._without_resizing import without_resizing
from cvcourse.visualization.rectifiers import rectifiers, with_rectifiers

__all__ = [
    "class_image",
    "dream",
    "dream_objective",
    "dream_step",
    "fooling_image",
    "gradient_times_image",
    "gram",
    "inversion_loss",
    "invert",
    "rectifiers",
    "saliency",
    "style_loss",
    "style_transfer",
    "with_rectifiers",
    "without_resizing",
]
