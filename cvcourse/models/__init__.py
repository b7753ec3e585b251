"""The architectures of the course, built, costed and filled with published weights."""

from cvcourse.models import pretrained
from cvcourse.models.cost import summary
from cvcourse.models.own_builder import require_savable
from cvcourse.models.published_accuracy import PUBLISHED_ACCURACY
from cvcourse.models.raw_images import from_raw_images
from cvcourse.models.registry import REGISTRY, build, family, input_shape_for, knobs
from cvcourse.models.stochastic_depth import drops_paths_by_schedule, stochastic_depth

__all__ = [
    "PUBLISHED_ACCURACY",
    "REGISTRY",
    "build",
    "drops_paths_by_schedule",
    "family",
    "from_raw_images",
    "input_shape_for",
    "knobs",
    "pretrained",
    "require_savable",
    "stochastic_depth",
    "summary",
]
