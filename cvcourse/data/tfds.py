"""Image classification sets of TensorFlow Datasets, as `tfds:NAME` or `tfds:NAME/CONFIG`."""

import os

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset
from cvcourse.data.encoded import EncodedImages
from cvcourse.data.folder import LARGEST
from cvcourse.data.network import require_network
from cvcourse.data.photo import read_header
from cvcourse.errors import reason, unknown

VALIDATION_NAMES = ("validation", "val", "dev")


def load(name, data_dir=None):
    """Load a TFDS set as a Dataset: decoded if its images are of one size, otherwise encoded.

    Looks for the prepared set in `data_dir`, $CVCOURSE_DATA and TFDS' own folder, otherwise
    prepares it in the first of these. Raises ValueError if TFDS does not know the name,
    configuration or version; DataError if the set is not for image classification, or if there are
    neither files nor a network.
    """
    import tensorflow_datasets as tfds

    stem = name.split("/")[0].split(":")[0]
    if stem not in tfds.list_builders():
        raise ValueError(unknown("TFDS dataset", stem, tfds.list_builders()))
    places = [place for place in (data_dir, os.environ.get("CVCOURSE_DATA")) if place]
    try:
        builders = [tfds.builder(name, data_dir=place) for place in (*places, None)]
    except (AssertionError, ValueError) as error:
        raise ValueError(f"tfds:{name}: {' '.join(str(error).split())}") from error
    builder = next((found for found in builders if found.data_path.exists()), builders[0])
    features = builder.info.features
    if not {"image", "label"} <= set(features) or not hasattr(features["label"], "names"):
        raise DataError(f"tfds:{name} has no image and class label: {', '.join(features)}")
    if not builder.data_path.exists():
        paths = ", ".join(str(found.data_path) for found in builders)
        require_network(
            f"tfds:{name} was not found: looked for {paths}",
            "connect once to prepare it, or set --data_dir to a folder with the prepared set",
        )
        try:
            builder.download_and_prepare()
        except Exception as error:  # of any library that downloads
            raise DataError(f"cannot get tfds:{name}: {reason(error)}") from error
    if "train" not in builder.info.splits:
        raise DataError(f"tfds:{name} has no train split: {', '.join(builder.info.splits)}")
    validation = next((key for key in VALIDATION_NAMES if key in builder.info.splits), None)
    test = "test" if "test" in builder.info.splits else None
    read = {key: _read(builder, key) for key in ("train", validation, test) if key}
    return dataset(
        read["train"],
        read.get(test),
        features["label"].names,
        validation=read.get(validation),
        where=f"tfds:{name}",
    )


def _read(builder, split):
    """Read one split of a prepared builder into memory; images of one size are decoded."""
    import tensorflow_datasets as tfds

    feature = builder.info.features["image"]
    height, width, channels = feature.shape
    encoded = isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8
    decoders = {"image": tfds.decode.SkipDecoding()} if encoded else None
    images, labels = [], []
    for example in builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator():
        images.append(example["image"])
        labels.append(example["label"])
    if encoded:
        name = f"tfds:{builder.name}, {split}, image"
        size = (height, width) if height and width else (LARGEST, LARGEST)
        channels = 1 if channels == 1 else 3
        headers = [read_header(image, f"{name} {i}") for i, image in enumerate(images)]
        routes = [header.route_to(channels) for header in headers]
        images = EncodedImages(images, routes, size, channels, in_memory=True)
        images = images[:] if height and width else images
    else:
        images = np.stack(images)
    return Split(images, np.array(labels))
