"""Published weights: sources and files, loading into our networks, preprocessing of photos."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.models.pretrained._feature_extractor import feature_extractor, scales_pixels
from cvcourse.models.pretrained.catalog import Published, candidates, find, published
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
    preprocess,
    resize_of,
    with_preprocessing,
    with_resizing,
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
    "with_preprocessing",
    "with_resizing",
]

__getattr__ = renamed_attributes(
    __name__, from_photos="with_preprocessing", from_images="with_resizing"
)
