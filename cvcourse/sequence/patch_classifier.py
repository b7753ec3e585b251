"""Vision transformer of the assignment: an image as a sequence of patches for an encoder.

CS231n, assignment 3. The ViT of the paper, with its class token, is in models/vit.py; both use
the same block.
"""

import keras
from keras import layers

from cvcourse.layers.transformer import drop, transformer_block
from cvcourse.sequence.inputs import logits
from cvcourse.sequence.transformer import EPSILON, features, placed


def patch_classifier(
    *,
    patch=(8, 8),
    hidden_dim=128,
    depth=6,
    num_heads=4,
    mlp_dim=256,
    dropout=0.1,
    norm_first=False,
    activation="gelu",
    positions="sinusoidal",
    input_shape=(32, 32, 3),
    num_classes=10,
    name="patch_classifier",
):
    """Build blocks over patches of `patch` (height, width) pixels, and a mean over the patches.

    Shapes: (batch, h, w, c) -> logits (batch, num_classes); `features` are the patches after the
    last block, (batch, number of patches, hidden_dim). With patches of one row, (1, w), the image
    is read row by row. Raises ValueError for images that cannot be cut into whole patches.
    """
    if any(side is None or side % step for side, step in zip(input_shape, patch, strict=False)):
        raise ValueError(
            f"images are cut into whole patches of {patch[0]}x{patch[1]} pixels; received "
            f"input_shape={tuple(input_shape)}"
        )
    count = input_shape[0] // patch[0] * (input_shape[1] // patch[1])
    image = keras.Input(input_shape, name="image")
    x = layers.Conv2D(hidden_dim, patch, patch, name="stem")(image)
    x = layers.Reshape((count, hidden_dim), name="patches")(x)
    x = drop(placed(x, positions, count), dropout, name="dropout")
    for i in range(1, depth + 1):
        x = transformer_block(
            x,
            num_heads,
            mlp_dim,
            dropout=dropout,
            epsilon=EPSILON,
            norm_first=norm_first,
            activation=activation,
            name=f"block{i}",
        )
    x = features(x, norm_first)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(image, logits(x, num_classes), name=name)


VARIANTS = {"patch_classifier": patch_classifier}
