"""FractalNet: a block contains itself twice in series beside one convolution, joined by their mean.

Larsson, Maire & Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals", ICLR
2017, https://arxiv.org/abs/1605.07648; details after the authors' generator,
https://github.com/gustavla/fractalnet.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.layers import ColumnDraw, FractalJoin
from cvcourse.models.convolution import bn_relu, conv, max_pool, pooled_logits

MINIMUM_SIZE = 32  # each of five blocks halves the map


def fractal_block(x, filters, *, columns, deepest, dropout, join, name):
    """Columns of 1, 2, 4, … convolutions: (h, w, c) -> (h/2, w/2, filters).

    `columns` are numbered as in table 4: column c has a convolution that ends at every
    2^(deepest - c)-th step. All convolutions that end at a step are joined, and their columns
    continue from the join.
    """
    paths = dict.fromkeys(columns, x)
    steps = 2 ** (deepest - 1)
    for step in range(1, steps + 1):
        ending = [c for c in columns if step % 2 ** (deepest - c) == 0]
        for c in ending:
            unit = f"{name}_column{c}_{step}"
            y = conv(paths[c], filters, 3, name=f"{unit}_conv")
            if dropout:
                y = layers.Dropout(dropout, name=f"{unit}_dropout")(y)
            paths[c] = bn_relu(y, name=unit)
            if step == steps:  # the generator pools before the join
                paths[c] = max_pool(paths[c], 2, name=f"{unit}_pool")
        if len(ending) > 1:
            joined = join([paths[c] for c in ending], name=f"{name}_join{step}")
            paths |= dict.fromkeys(ending, joined)
    return layers.Identity(name=name)(paths[ending[0]])


def fractalnet(
    *,
    filters=(64, 128, 256, 512, 512),
    columns=3,
    column=None,
    drop_path=0.15,
    global_share=0.5,
    dropout=0.4,
    input_shape=(32, 32, 3),
    num_classes=10,
    name="fractalnet",
):
    """Five fractal blocks, each with a 2x2 max pool at its end.

    The paper reports 38.6M parameters for 20 layers. The widths that it states, with biases in the
    convolutions and norms that scale and shift, as in the authors' code, result in the 33,734,922
    built here. It would be 38.5M if the first convolution of each column had as many input as
    output channels.

    Args:
        filters: Filters of each block.
        columns: Number of columns.
        column: Number of the one column to build, from 1 (the shallowest) to `columns`; its layers
            have the same names as in the whole net, for copying weights. None builds all.
        drop_path: Rate at which a join drops each of its paths in training; 0 for no drop-path.
        global_share: Fraction of the batches for which all columns but one are dropped instead.
        dropout: Dropout rate inside the last block; it grows linearly from 0 at the first block.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 512).

    Raises:
        ValueError: If `column` is not one of the columns.
    """
    if column not in (None, *range(1, columns + 1)):
        raise ValueError(f"column is one of 1 to columns={columns}, or None; received {column!r}")
    inputs = x = keras.Input(input_shape, name="image")
    if drop_path and column is None:
        drawn = ColumnDraw(columns, global_share, name="column")(inputs)

    def join(paths, *, name):
        if drop_path:
            return FractalJoin(drop_path, name=name)([*paths, drawn])
        return layers.Average(name=name)(paths)

    for stage, width in enumerate(filters, start=1):
        x = fractal_block(
            x,
            width,
            columns=[column] if column else range(1, columns + 1),
            deepest=columns,
            dropout=dropout * (stage - 1) / max(len(filters) - 1, 1),
            join=join,
            name=f"stage{stage}",
        )
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {  # table 1
    "fractalnet20": fractalnet,
    "fractalnet20_column": partial(fractalnet, column=3),  # the deepest: 20 layers in a row
}
