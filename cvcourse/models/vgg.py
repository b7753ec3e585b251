"""VGG: nothing but 3x3 convolutions, whose stacks see what larger kernels see, at less cost.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, https://arxiv.org/abs/1409.1556.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.models.alexnet import dense_head
from cvcourse.models.convolution import conv_relu, max_pool

MINIMUM_SIZE = 32  # halved five times

FILTERS = (64, 128, 256, 512, 512)  # table 1, a stage each
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
    """A column of table 1, `width` times as wide, then dense layers of `hidden` units.

    Shapes: (batch, h, w, c) -> (batch, num_classes); `features` is (h/32, w/32, 512), which the
    hidden layers see as 7x7 pixels; where there are none, the logits see its mean. `batch_norm`
    follows every convolution, which keeps its bias: torchvision. `dropout` is the rate after each
    hidden layer. Initialization: He et al. 2015; the paper fills deep columns from shallow ones.
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
SOURCES = {
    f"{source}.vgg{depth}{norm}": (f"vgg{depth}{norm}", {})
    for source in ("torchvision", "timm")
    for depth in DEPTHS
    for norm in ("", "_bn")
} | {f"keras.vgg{depth}": (f"vgg{depth}", {}) for depth in (16, 19)}
