"""Names of ImageNet's 1000 classes, in the order of the logits of all published weights."""

import os

from cvcourse.errors import RunError
from cvcourse.files import read_json
from cvcourse.models.pretrained import store

AGAIN = "remove it to download it again"
CLASS_INDEX = (  # Keras', with its MD5
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)


def imagenet_classes(weights_dir: str | os.PathLike | None = None) -> tuple[str, ...]:
    """Return the names of the 1000 classes.

    The file with the names is found or downloaded like weights. Two names occur twice, crane and
    maillot: `imagenet_synsets` distinguishes them.

    Args:
        weights_dir: Folder that is searched first, and downloaded to.

    Returns:
        A tuple of 1000 names.

    Raises:
        RunError: If the file cannot be found, downloaded or read.

    >>> CLASS_INDEX[0].rpartition("/")[2]  # the file, in weights_dir or a cache
    'imagenet_class_index.json'
    >>> imagenet_classes()[:2]  # doctest: +SKIP
    ('tench', 'goldfish')
    """
    return _column(1, weights_dir)


def imagenet_synsets(weights_dir: str | os.PathLike | None = None) -> tuple[str, ...]:
    """Return the WordNet ids of the 1000 classes, in the order of `imagenet_classes`.

    Args:
        weights_dir: As in `imagenet_classes`.

    Returns:
        A tuple of 1000 ids.

    Raises:
        RunError: As `imagenet_classes`.

    >>> imagenet_synsets()[:2]  # doctest: +SKIP
    ('n01440764', 'n01443537')
    """
    return _column(0, weights_dir)


def _column(which, weights_dir):
    """Return one of the two values that the file has for each class."""
    path = store.fetch(*CLASS_INDEX, weights_dir)
    index = read_json(path, remedy=AGAIN)
    try:
        return tuple(index[str(i)][which] for i in range(len(index)))
    except (TypeError, LookupError) as error:
        raise RunError(f"{path} does not hold ImageNet's class names; {AGAIN}") from error
