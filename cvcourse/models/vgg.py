"""VGG: stacks of 3x3 convolutions have the receptive field of larger kernels, at less cost.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, https://arxiv.org/abs/1409.1556.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.models.alexnet import dense_head
from cvcourse.models.convolution import conv_relu, max_pool
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times

FILTERS = (64, 128, 256, 512, 512)  # table 1, of each stage
COLUMNS = {  # table 1: kernel sizes of each stage's convolutions
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


def vgg(
    *,
    column,
    batch_norm=False,
    width=1.0,
    hidden=(4096, 4096),
    dropout=0.5,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="vgg",
):
    """Five stages of 3x3 convolutions and a max pool each, then dense layers.

    Initialization: He et al. 2015; the paper initializes deep nets with the weights of shallow
    ones.

    Args:
        column: Column of table 1: "A" to "E".
        batch_norm: Whether batch norm follows each convolution, which keeps its bias (torchvision).
        width: Factor for the filters.
        hidden: Units of each hidden dense layer, on a map averaged to 7x7; () for only global
            average pooling and the logits.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: For an unknown column.
    """
    norm = {} if batch_norm else None
    inputs = x = keras.Input(input_shape, name="image")
    for stage, sizes in enumerate(pick("column", column, COLUMNS), start=1):
        for i, size in enumerate(sizes, start=1):
            filters = int(FILTERS[stage - 1] * width)
            x = conv_relu(x, filters, size, norm=norm, name=f"stage{stage}_{i}")
        x = max_pool(x, 2, name=f"stage{stage}")
    x = layers.Identity(name="features")(x)
    logits = dense_head(x, 7 if hidden else 1, hidden, dropout, num_classes, first=1)
    return keras.Model(inputs, logits, name=name)


DEPTHS = {"11": "A", "13": "B", "16": "D", "19": "E"}
VARIANTS = (
    {f"vgg{depth}": partial(vgg, column=column) for depth, column in DEPTHS.items()}
    | {
        f"vgg{depth}_bn": partial(vgg, column=column, batch_norm=True)
        for depth, column in DEPTHS.items()
    }
    | {
        "vgg16_cifar": partial(
            vgg,
            column="D",
            batch_norm=True,
            hidden=(),
            dropout=0.0,
            input_shape=(32, 32, 3),
            num_classes=10,
        )
    }
)
PUBLISHED_NAMES = {
    "torchvision": {
        r"(stage\d(_\d(_conv|_bn)?)?)": r"features.#\1",
        "fc1": "classifier.0",
        "fc2": "classifier.3",
        "logits": "classifier.6",
    },
    "timm": {
        r"(stage\d(_\d(_conv|_bn)?)?)": r"features.#\1",
        r"(fc\d)": r"pre_logits.\1",
        "logits": "head.fc",
    },
}
SOURCES: Sources = {
    **{
        f"{source}.vgg{depth}{norm}": (f"vgg{depth}{norm}", {})
        for source in ("torchvision", "timm")
        for depth in DEPTHS
        for norm in ("", "_bn")
    },
    **{f"keras.vgg{depth}": (f"vgg{depth}", {}) for depth in (16, 19)},
}
