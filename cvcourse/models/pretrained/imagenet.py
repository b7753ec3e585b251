"""The names of ImageNet's 1000 classes, in the order of all published weights' logits."""

from cvcourse.errors import RunError
from cvcourse.files import read_json
from cvcourse.models.pretrained import store

AGAIN = "remove it, and it is downloaded again"
CLASS_INDEX = (  # Keras', with its MD5
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)


def imagenet_classes(weights_dir=None):
    """The 1000 names; the file with them is sought and downloaded as weights are.

    Two names occur twice, crane and maillot: `imagenet_synsets` tells them apart.
    """
    return _column(1, weights_dir)


def imagenet_synsets(weights_dir=None):
    """The WordNet ids of the 1000 classes, such as n01440764, in the order of their names."""
    return _column(0, weights_dir)


def _column(which, weights_dir):
    path = store.fetch(*CLASS_INDEX, weights_dir)
    index = read_json(path, remedy=AGAIN)
    try:
        return tuple(index[str(i)][which] for i in range(len(index)))
    except (TypeError, LookupError) as error:
        raise RunError(f"{path} does not hold ImageNet's class names; {AGAIN}") from error
