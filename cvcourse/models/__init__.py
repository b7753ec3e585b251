"""The architectures of the course, built, costed and filled with published weights."""

from cvcourse.models import pretrained
from cvcourse.models.cost import summary
from cvcourse.models.own_builder import require_savable
from cvcourse.models.published_accuracy import PUBLISHED_ACCURACY
from cvcourse.models.raw_images import from_raw_images
from cvcourse.models.registry import REGISTRY, build, family, input_shape_for, knobs

__all__ = [
    "PUBLISHED_ACCURACY",
    "REGISTRY",
    "build",
    "family",
    "from_raw_images",
    "input_shape_for",
    "knobs",
    "pretrained",
    "require_savable",
    "summary",
]
