"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: from a local file, else downloaded.

LeCun et al. 1998; Xiao et al. 2017, https://arxiv.org/abs/1708.07747; Krizhevsky 2009.
"""

import gzip
import os
import pathlib
import zlib

import numpy as np

from cvcourse.data import npz
from cvcourse.data.dataset import DataError, Split, dataset
from cvcourse.data.network import require_network
from cvcourse.errors import reason

DIGITS = "0 1 2 3 4 5 6 7 8 9"
FASHION = "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot"
CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit
raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel
streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
turtle wardrobe whale willow_tree wolf woman worm
"""

# name: (class names, file in Keras' cache, another way to get it or None)
PUBLISHED = {
    "mnist": (DIGITS, "mnist.npz", None),
    "fashion_mnist": (FASHION, "fashion-mnist", "apt-get install dataset-fashion-mnist"),
    "cifar10": (CIFAR10, "cifar-10-batches-py*", None),
    "cifar100": (CIFAR100, "cifar-100-python*", None),
}

IDX_FILES = [  # MNIST's own format; the order of npz.KEYS
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


def load(name, data_dir=None):
    """Load a published dataset as a Dataset, from the first place that has it.

    Looks in `data_dir`, $CVCOURSE_DATA, Keras' cache and /usr/share/datasets for NAME.npz, or a
    folder with MNIST's four .gz files; then calls keras.datasets, which may download. Raises
    DataError, naming these places, if there is neither a file nor a network.
    """
    class_names, cached, alternative = PUBLISHED[name]
    class_names = class_names.split()
    keras_cache = pathlib.Path(
        os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras")), "datasets"
    )
    places = [data_dir, os.environ.get("CVCOURSE_DATA"), keras_cache, "/usr/share/datasets"]
    places = [pathlib.Path(os.path.expanduser(place)) for place in places if place]
    for place in places:
        if (place / f"{name}.npz").is_file():
            return npz.load(place / f"{name}.npz", class_names)
        for folder in (place / name, place / name.replace("_", "-")):
            if (folder / IDX_FILES[0]).is_file():
                return _from_idx(folder, class_names)
    if not any(keras_cache.glob(cached)):
        get = f"; or: {alternative}" if alternative else ""
        require_network(
            f"{name} was not found: looked for {name}.npz in {', '.join(map(str, places))}",
            f"connect once, or put {name}.npz ({', '.join(npz.KEYS)}) into one of them "
            f"or into --data_dir{get}",
        )
    return _from_keras(name, class_names)


def _from_keras(name, class_names):
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # keras.utils.get_file raises bare Exception for a failed download
        raise DataError(f"cannot get {name}: {reason(error)}") from error
    return dataset(
        Split(x_train, y_train), Split(x_test, y_test), class_names, where=f"keras.datasets.{name}"
    )


def _from_idx(folder, class_names):
    x_train, y_train, x_test, y_test = (_read_idx(folder / file) for file in IDX_FILES)
    return dataset(Split(x_train, y_train), Split(x_test, y_test), class_names, where=str(folder))


def _read_idx(path):
    """Read a .gz file in MNIST's format -> uint8 array of the shape in its header."""
    try:
        data = gzip.decompress(path.read_bytes())
        if data[:3] != b"\x00\x00\x08" or len(data) < 4:  # two zeros, then 8: unsigned bytes
            raise ValueError("not an IDX file of unsigned bytes")
        axes = data[3]
        shape = np.frombuffer(data, ">i4", count=axes, offset=4)
        return np.frombuffer(data, "uint8", offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {reason(error)}; download it again") from error
