"""GoogLeNet: kernels of several sizes in parallel, after 1x1 convolutions that reduce the cost.

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, https://arxiv.org/abs/1409.4842.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import AdaptiveAveragePooling2D, LocalResponseNorm, PadTo
from cvcourse.models.convolution import conv_bn, conv_relu, max_pool, pooled_logits
from cvcourse.models.sources import Sources

# The smallest side that leaves the fourth pool 1x1 pixels for its 2x2, or 2x2 for its 3x3 window.
MINIMUM_SIZE = {"googlenet": 15, "googlenet_2014": 31}

MODULES = {  # table 1: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool proj
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "pool3": (),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "pool4": (),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"inception4a": 1, "inception4d": 2}  # section 5: modules with an auxiliary head
FORMS = {
    "paper": dict(unit=conv_relu, large=5, pool4=3, local_norm=True, aux_pool=5),
    # TF-slim's changes; torchvision has its weights: https://github.com/pytorch/vision/issues/906
    "slim": dict(
        unit=partial(conv_bn, activation="relu", norm={"epsilon": 1e-3}),
        large=3,
        pool4=2,
        local_norm=False,
        aux_pool=None,
    ),
}


def inception(x, filters, *, unit, large, name):
    """1x1, 3x3 and `large` kernels and a max pool side by side: -> (h, w, sum of filters)."""
    one, three_reduce, three, five_reduce, five, pool = filters
    y3 = unit(x, three_reduce, name=f"{name}_3x3_reduce")
    y5 = unit(x, five_reduce, name=f"{name}_5x5_reduce")
    y = max_pool(x, 3, 1, padding="symmetric", name=f"{name}_pool")
    branches = [
        unit(x, one, name=f"{name}_1x1"),
        unit(y3, three, 3, name=f"{name}_3x3"),
        unit(y5, five, large, name=f"{name}_5x5"),
        unit(y, pool, name=f"{name}_pool_proj"),
    ]
    return layers.Concatenate(name=name)(branches)


def auxiliary_head(x, filters, hidden, num_classes, *, unit, pool, dropout, number):
    """Auxiliary classifier for stronger gradients: (h, w, c) -> `aux_logits{number}`."""
    name = f"aux{number}"
    if pool:
        x = PadTo(pool, name=f"{name}_pad")(x)
        x = layers.AveragePooling2D(pool, 3, name=f"{name}_pool")(x)
    if x.shape[1:3] != (4, 4):
        x = AdaptiveAveragePooling2D(4, name=f"{name}_to_4x4")(x)
    x = unit(x, filters, name=name)
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(hidden, "relu", kernel_initializer="he_uniform", name=f"{name}_fc")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return layers.Dense(num_classes, dtype="float32", name=f"aux_logits{number}")(x)


def googlenet(
    *,
    form="slim",
    modules=tuple(MODULES),
    aux=False,
    width=1.0,
    dropout=0.2,
    aux_dropout=0.7,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="googlenet",
):
    """A stem and Inception modules.

    Args:
        form: "slim" has batch norm, and 3x3 kernels in place of 5x5; "paper" has local response
            norm.
        modules: Names of the modules and pools of table 1, in order.
        aux: Whether the net has auxiliary classifiers (section 5).
        width: Factor for the filters.
        dropout: Dropout rate before the logits.
        aux_dropout: Dropout rate before the auxiliary logits, if `dropout` is not 0.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes), or with `aux` ->
        a dict of logits, aux_logits1 and aux_logits2. `features` is (h/32, w/32, 1024).

    Raises:
        ValueError: For an unknown form or module.
    """
    form = pick("form", form, FORMS)
    unit, wide = form["unit"], lambda filters: max(int(filters * width), 1)
    normalize = LocalResponseNorm if form["local_norm"] else layers.Identity
    pool = partial(max_pool, size=3, stride=2, padding="ceil")
    inputs = keras.Input(input_shape, name="image")
    x = unit(inputs, wide(64), 7, 2, name="conv1")
    x = normalize(name="norm1")(pool(x, name="pool1"))
    x = unit(x, wide(64), name="conv2_reduce")
    x = normalize(name="norm2")(unit(x, wide(192), 3, name="conv2"))
    x = pool(x, name="stem")
    aux = aux and num_classes is not None
    outputs = {}
    for name_ in modules:
        filters = pick("module", name_, MODULES)
        if not filters:
            x = pool(x, size=form["pool4"] if name_ == "pool4" else 3, name=name_)
            continue
        x = inception(x, map(wide, filters), unit=unit, large=form["large"], name=name_)
        if aux and name_ in AUXILIARY:
            outputs[f"aux_logits{AUXILIARY[name_]}"] = auxiliary_head(
                x,
                wide(128),
                wide(1024),
                num_classes,
                unit=unit,
                pool=form["aux_pool"],
                dropout=dropout and aux_dropout,
                number=AUXILIARY[name_],
            )
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, {"logits": logits, **outputs} if aux else logits, name=name)


VARIANTS = {
    "googlenet": googlenet,
    "googlenet_2014": partial(googlenet, form="paper", dropout=0.4),  # section 5
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"conv1_(conv|bn)": r"conv1.\1",
        r"conv2_reduce_(conv|bn)": r"conv2.\1",
        r"conv2_(conv|bn)": r"conv3.\1",
        r"(inception\d\w)_1x1_(conv|bn)": r"\1.branch1.\2",
        r"(inception\d\w)_3x3_reduce_(conv|bn)": r"\1.branch2.0.\2",
        r"(inception\d\w)_3x3_(conv|bn)": r"\1.branch2.1.\2",
        r"(inception\d\w)_5x5_reduce_(conv|bn)": r"\1.branch3.0.\2",
        r"(inception\d\w)_5x5_(conv|bn)": r"\1.branch3.1.\2",
        r"(inception\d\w)_pool_proj_(conv|bn)": r"\1.branch4.1.\2",
        r"(aux\d)_(conv|bn)": r"\1.conv.\2",
        r"(aux\d)_fc": r"\1.fc1",
        r"aux_logits(\d)": r"aux\1.fc2",
        "logits": "fc",
    }
}
SOURCES: Sources = {
    "torchvision.googlenet": ("googlenet", {"aux": True}),
    "torchvision.googlenet_noaux": ("googlenet", {}),
}
