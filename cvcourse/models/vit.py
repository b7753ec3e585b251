"""ViT: cut the image into patches, and encode them as a sequence of tokens.

Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
ICLR 2021, https://arxiv.org/abs/2010.11929.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.layers import ClassToken, PositionEmbedding
from cvcourse.layers.transformer import drop, transformer_block
from cvcourse.models.convolution import conv
from cvcourse.models.sources import Sources

EPSILON = 1e-6  # as in the paper's release


def vit(
    *,
    patch=16,
    hidden_dim=768,
    depth=12,
    num_heads=12,
    mlp_dim=3072,
    dropout=0.1,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="vit",
):
    """A class token and one token for each patch, and encoder blocks.

    Args:
        patch: Side of a patch, in pixels.
        hidden_dim: Channels of a token.
        depth: Number of encoder blocks.
        num_heads: Number of attention heads.
        mlp_dim: Hidden units of each block's MLP.
        dropout: Dropout rate (table 3) after all dense layers but those for queries, keys and
            values (appendix B.1).
        input_shape: (height, width, channels) of the images; another size is another net, since
            each patch has a position embedding.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        normalized tokens (1 + h/patch * w/patch, hidden_dim), class token first.

    Raises:
        ValueError: If height and width are not multiples of `patch`.
    """
    if any(side is None or side % patch for side in input_shape[:2]):
        raise ValueError(
            f"a ViT takes images whose height and width are multiples of its patch, {patch}; "
            f"received input_shape={tuple(input_shape)}"
        )
    inputs = keras.Input(input_shape, name="image")
    form = dict(padding="valid", kernel_initializer="lecun_normal")  # torchvision's
    x = conv(inputs, hidden_dim, patch, patch, **form, name="stem")
    x = layers.Reshape((-1, hidden_dim), name="patches")(x)
    x = ClassToken(name="class_token")(x)
    x = PositionEmbedding(name="positions")(x)
    x = drop(x, dropout, name="dropout")
    for i in range(1, depth + 1):
        x = transformer_block(
            x, num_heads, mlp_dim, dropout=dropout, epsilon=EPSILON, name=f"block{i}"
        )
    x = layers.LayerNormalization(epsilon=EPSILON, name="features")(x)
    if num_classes is None:
        return keras.Model(inputs, x, name=name)
    logits = layers.Dense(
        num_classes,
        kernel_initializer="zeros",  # the release's, and torchvision's
        dtype="float32",
        name="logits",
    )(x[:, 0])
    return keras.Model(inputs, logits, name=name)


SIZES = {  # table 1, and timm's
    "tiny": dict(hidden_dim=192, depth=12, num_heads=3, mlp_dim=768),
    "small": dict(hidden_dim=384, depth=12, num_heads=6, mlp_dim=1536),
    "base": dict(hidden_dim=768, depth=12, num_heads=12, mlp_dim=3072),
    "large": dict(hidden_dim=1024, depth=24, num_heads=16, mlp_dim=4096),
    "huge": dict(hidden_dim=1280, depth=32, num_heads=16, mlp_dim=5120),
    "giant": dict(hidden_dim=1408, depth=40, num_heads=16, mlp_dim=6144),
    "gigantic": dict(hidden_dim=1664, depth=48, num_heads=16, mlp_dim=8192),
}
VARIANTS = {
    "vit_b_16": partial(vit, patch=16, **SIZES["base"]),
    "vit_b_32": partial(vit, patch=32, **SIZES["base"]),
    "vit_l_16": partial(vit, patch=16, **SIZES["large"]),
    "vit_l_32": partial(vit, patch=32, **SIZES["large"]),
    "vit_h_14": partial(vit, patch=14, **SIZES["huge"]),
}
MINIMUM_SIZE = {name: builder.keywords["patch"] for name, builder in VARIANTS.items()}  # a patch
PUBLISHED_NAMES = {
    f"torchvision{which}": {
        "stem": "conv_proj",
        r"class_token\.token": "class_token",
        r"positions\.embedding": "encoder.pos_embedding",
        r"block(\d+)_([12])_norm": r"encoder.layers.encoder_layer_#\1.ln_\2",
        r"block(\d+)_qkv\.(\w+)": r"encoder.layers.encoder_layer_#\1.self_attention.in_proj_\2",
        r"block(\d+)_out": r"encoder.layers.encoder_layer_#\1.self_attention.out_proj",
        r"block(\d+)_hidden": rf"encoder.layers.encoder_layer_#\1.mlp.{hidden}",
        r"block(\d+)_mlp": rf"encoder.layers.encoder_layer_#\1.mlp.{mlp}",
        "features": "encoder.ln",
        "logits": "heads.head",
    }
    # The published files have torchvision's first names.
    for which, hidden, mlp in (("", "0", "3"), (", first files", "linear_1", "linear_2"))
} | {
    "timm": {
        "stem": "patch_embed.proj",
        r"class_token\.token": "cls_token",
        r"positions\.embedding": "pos_embed",
        r"block(\d+)_([12])_norm": r"blocks.#\1.norm\2",
        r"block(\d+)_qkv": r"blocks.#\1.attn.qkv",
        r"block(\d+)_out": r"blocks.#\1.attn.proj",
        r"block(\d+)_hidden": r"blocks.#\1.mlp.fc1",
        r"block(\d+)_mlp": r"blocks.#\1.mlp.fc2",
        "features": "norm",
        "logits": "head",
    },
}
TIMM = {  # name: size, patch, image
    f"{net}_{size}_patch{patch}_{side}": (size, patch, side)
    for net, size, patch, sides in (
        ("vit", "tiny", 16, (224, 384)),
        ("vit", "small", 8, (224,)),
        ("vit", "small", 16, (224, 384)),
        ("vit", "small", 32, (224, 384)),
        ("vit", "base", 8, (224,)),
        ("vit", "base", 16, (224, 384)),
        ("vit", "base", 32, (224, 384)),
        ("vit", "large", 14, (224,)),
        ("vit", "large", 16, (224, 384)),
        ("vit", "large", 32, (224, 384)),
        ("vit", "huge", 14, (224,)),
        ("vit", "giant", 14, (224,)),
        ("vit", "gigantic", 14, (224,)),
        ("deit", "tiny", 16, (224,)),
        ("deit", "small", 16, (224,)),
        ("deit", "base", 16, (224, 384)),
    )
    for side in sides
}
SOURCES: Sources = {f"torchvision.{name}": (name, {}) for name in VARIANTS} | {
    f"timm.{name}": ("vit_b_16", dict(**SIZES[size], patch=patch, input_shape=(side, side, 3)))
    for name, (size, patch, side) in TIMM.items()
}
