"""Published weights: where they come from, how they fit our networks, how their pixels come."""

from cvcourse.models.pretrained.catalog import Published, candidates, find, published
from cvcourse.models.pretrained.feature_extractor import feature_extractor, scales_pixels
from cvcourse.models.pretrained.feature_maps import FeatureMaps
from cvcourse.models.pretrained.fitting import (
    APART,
    SOURCES,
    build_source,
    load_keras,
    load_state_dict,
)
from cvcourse.models.pretrained.imagenet import imagenet_classes, imagenet_synsets
from cvcourse.models.pretrained.loading import is_file, load, load_published
from cvcourse.models.pretrained.preprocessing import (
    SCALINGS,
    from_images,
    from_photos,
    preprocess,
    resize_of,
)
from cvcourse.models.pretrained.trained_network import TrainedNetwork, load_trained

__all__ = [
    "APART",
    "SCALINGS",
    "SOURCES",
    "FeatureMaps",
    "Published",
    "TrainedNetwork",
    "build_source",
    "candidates",
    "feature_extractor",
    "find",
    "from_images",
    "from_photos",
    "imagenet_classes",
    "imagenet_synsets",
    "is_file",
    "load",
    "load_keras",
    "load_published",
    "load_state_dict",
    "load_trained",
    "preprocess",
    "published",
    "resize_of",
    "scales_pixels",
]
