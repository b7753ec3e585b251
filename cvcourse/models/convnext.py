"""ConvNeXt: a ResNet, modernized step by step with the design choices of Transformers.

Liu et al., "A ConvNet for the 2020s", CVPR 2022, https://arxiv.org/abs/2201.03545.
"""

from functools import partial
from typing import Any

import keras
from keras import layers

from cvcourse.layers import DropPath, LayerScale
from cvcourse.models.convolution import conv, pooled_logits
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # a stem of stride 4 and three of 2, all without padding

# The release's standard deviation of 0.02, but uniform, which is drawn twice as fast as normal. A
# dict, so that each layer makes its own initializer: one instance would return equal numbers.
SMALL = {"class_name": "RandomUniform", "config": {"minval": -0.03464, "maxval": 0.03464}}

convolve = partial(conv, kernel_initializer=SMALL)
patchify = partial(convolve, padding="valid")
dense = partial(layers.Dense, kernel_initializer=SMALL)


def block(x, *, norm, layer_scale, drop_path, name):
    """7x7 depthwise convolution, then an MLP at each pixel: (h, w, c) -> (h, w, c)."""
    channels = x.shape[-1]
    y = convolve(x, channels, 7, groups=channels, name=f"{name}_conv")
    y = norm(name=f"{name}_norm")(y)
    y = dense(4 * channels, activation="gelu", name=f"{name}_hidden")(y)
    y = dense(channels, name=f"{name}_mlp")(y)
    y = LayerScale(layer_scale, name=f"{name}_scale")(y)
    if drop_path:
        y = DropPath(drop_path, name=f"{name}_drop_path")(y)
    return layers.Add(name=name)([x, y])


def convnext(
    *,
    depths,
    widths=(96, 192, 384, 768),
    drop_path=0.0,
    layer_scale=1e-6,
    epsilon=1e-6,
    dropout=0.0,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="convnext",
):
    """A stem of 4x4 patches and stages of blocks; each stage but the first halves the map.

    Args:
        depths: Number of blocks of each stage.
        widths: Channels of each stage.
        drop_path: Rate at which training drops the last block's residual path; the rate grows
            linearly from 0 at the first block.
        layer_scale: Initial factor of each block's output.
        epsilon: Epsilon of layer normalization.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, widths[-1]), before the norm, which comes after pooling.
    """
    norm = partial(layers.LayerNormalization, epsilon=epsilon)
    inputs = keras.Input(input_shape, name="image")
    x = patchify(inputs, widths[0], 4, 4, name="stem_conv")
    x = norm(name="stem")(x)
    done, last = 0, max(sum(depths) - 1, 1)
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        if stage > 1:
            x = norm(name=f"stage{stage}_norm")(x)
            x = patchify(x, width, 2, 2, name=f"stage{stage}_conv")
        for i in range(1, depth + 1):
            x = block(
                x,
                norm=norm,
                layer_scale=layer_scale,
                drop_path=drop_path * done / last,
                name=f"stage{stage}_block{i}",
            )
            done += 1
        x = layers.Identity(name=f"stage{stage}")(x)
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(
        x, num_classes, pooled_layer=norm(name="norm"), dropout=dropout, kernel_initializer=SMALL
    )
    return keras.Model(inputs, logits, name=name)


SIZES = {  # section 3; the rates are appendix A's
    "tiny": dict(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), drop_path=0.1),
    "small": dict(depths=(3, 3, 27, 3), widths=(96, 192, 384, 768), drop_path=0.4),
    "base": dict(depths=(3, 3, 27, 3), widths=(128, 256, 512, 1024), drop_path=0.5),
    "large": dict(depths=(3, 3, 27, 3), widths=(192, 384, 768, 1536), drop_path=0.5),
}
VARIANTS = {f"convnext_{size}": partial(convnext, **form) for size, form in SIZES.items()}
OTHER_SIZES: dict[str, dict[str, Any]] = {
    "atto": dict(depths=(2, 2, 6, 2), widths=(40, 80, 160, 320)),  # timm's
    "femto": dict(depths=(2, 2, 6, 2), widths=(48, 96, 192, 384)),
    "pico": dict(depths=(2, 2, 6, 2), widths=(64, 128, 256, 512)),
    "nano": dict(depths=(2, 2, 8, 2), widths=(80, 160, 320, 640)),
    "xlarge": dict(depths=(3, 3, 27, 3), widths=(256, 512, 1024, 2048)),  # the paper's
    "xxlarge": dict(depths=(3, 4, 30, 3), widths=(384, 768, 1536, 3072), epsilon=1e-5),
}
PUBLISHED_NAMES = {
    "torchvision": {
        "stem_conv": "features.#stem.0",
        "stem": "features.#stem.1",
        r"stage(\d)_norm": r"features.#downsampling\1.0",
        r"stage(\d)_conv": r"features.#downsampling\1.1",
        r"stage(\d)_block(\d+)_conv": r"features.#stage\1.#\2.block.0",
        r"stage(\d)_block(\d+)_norm": r"features.#stage\1.#\2.block.2",
        r"stage(\d)_block(\d+)_hidden": r"features.#stage\1.#\2.block.3",
        r"stage(\d)_block(\d+)_mlp": r"features.#stage\1.#\2.block.5",
        r"stage(\d)_block(\d+)_scale\.scale": r"features.#stage\1.#\2.layer_scale",
        "norm": "classifier.0",
        "logits": "classifier.2",
    },
    "timm": {
        "stem_conv": "stem.0",
        "stem": "stem.1",
        r"stage(\d)_norm": r"stages.#\1.downsample.0",
        r"stage(\d)_conv": r"stages.#\1.downsample.1",
        r"stage(\d)_block(\d+)_conv": r"stages.#\1.blocks.#\2.conv_dw",
        r"stage(\d)_block(\d+)_norm": r"stages.#\1.blocks.#\2.norm",
        r"stage(\d)_block(\d+)_hidden": r"stages.#\1.blocks.#\2.mlp.fc1",
        r"stage(\d)_block(\d+)_mlp": r"stages.#\1.blocks.#\2.mlp.fc2",
        r"stage(\d)_block(\d+)_scale\.scale": r"stages.#\1.blocks.#\2.gamma",
        "norm": "head.norm",
        "logits": "head.fc",
    },
}
SOURCES: Sources = {
    **{
        f"{source}.{name}": (name, {})
        for source in ("torchvision", "timm", "keras")
        for name in VARIANTS
    },
    **{f"timm.convnext_{size}": ("convnext_tiny", form) for size, form in OTHER_SIZES.items()},
    "keras.convnext_xlarge": ("convnext_large", OTHER_SIZES["xlarge"]),
}
