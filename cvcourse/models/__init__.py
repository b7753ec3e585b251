"""The architectures of the course: builders, costs, feature maps and published weights."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.models import pretrained, variants
from cvcourse.models._cost import cost
from cvcourse.models._feature_maps import backbone, features
from cvcourse.models._stochastic_depth import drops_paths_by_schedule, stochastic_depth
from cvcourse.models.listing import NAMES
from cvcourse.models.listing import list as list  # not in __all__: a star import keeps the builtin
from cvcourse.models.own_builder import require_savable
from cvcourse.models.published_accuracy import PUBLISHED_ACCURACY
from cvcourse.models.raw_images import with_preprocessing
from cvcourse.models.registry import REGISTRY, build, builder_args, family, input_shape_for
from cvcourse.models.variants import *  # noqa: F403

__all__ = [
    "NAMES",
    "PUBLISHED_ACCURACY",
    "REGISTRY",
    "backbone",
    "build",
    "builder_args",
    "cost",
    "drops_paths_by_schedule",
    "family",
    "features",
    "input_shape_for",
    "pretrained",
    "require_savable",
    "stochastic_depth",
    "with_preprocessing",
]
__all__ += variants.__all__

__getattr__ = renamed_attributes(
    __name__, knobs="builder_args", from_raw_images="with_preprocessing", summary="cost"
)
