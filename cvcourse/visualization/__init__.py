"""Attribution maps, feature inversion and other views into a keras.Model: one file a technique.

CS231n, lecture "Visualizing and Understanding". TensorFlow, JAX or torch computes the gradients, in
`gradients.py`.
"""

from cvcourse.visualization._cam import cam
from cvcourse.visualization._deconvnet import deconvnet
from cvcourse.visualization._fgsm import fgsm
from cvcourse.visualization._grad_cam import grad_cam, guided_grad_cam
from cvcourse.visualization._guided_backprop import guided_backprop
from cvcourse.visualization._integrated_gradients import completeness_delta, integrated_gradients
from cvcourse.visualization._occlusion import occlusion, to_pixels
from cvcourse.visualization._receptive_field import ReceptiveField, boxes, receptive_field
from cvcourse.visualization._saliency import gradient_times_image, saliency
from cvcourse.visualization._smooth_grad import smooth_grad
from cvcourse.visualization.rectifiers import rectifiers, with_rectifiers

__all__ = [
    "ReceptiveField",
    "boxes",
    "cam",
    "completeness_delta",
    "deconvnet",
    "fgsm",
    "grad_cam",
    "gradient_times_image",
    "guided_backprop",
    "guided_grad_cam",
    "integrated_gradients",
    "occlusion",
    "receptive_field",
    "rectifiers",
    "saliency",
    "smooth_grad",
    "to_pixels",
    "with_rectifiers",
]
