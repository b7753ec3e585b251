"""The architectures of the course, built, costed and filled with published weights."""

from cvcourse.models import pretrained
from cvcourse.models.cost import summary
from cvcourse.models.raw_images import from_raw_images
from cvcourse.models.registry import REGISTRY, build, input_shape_for, knobs

__all__ = [
    "REGISTRY",
    "build",
    "from_raw_images",
    "input_shape_for",
    "knobs",
    "pretrained",
    "summary",
]
