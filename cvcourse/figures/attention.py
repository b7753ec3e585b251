"""Pictures of attention: matrices of weights, and a photo lit where it is attended to."""

import numpy as np

from cvcourse.figures.figure import new_figure, require_data

VISIBLE = {"\n": "↵", "\t": "⇥", " ": "·"}  # signs in place of blank characters
DARK = 0.35  # share of the light left where the weight is 0


def alignment_matrices(weights, sources, targets):
    """Draw the attention of a translator: a matrix for each example and head.

    Args:
        weights: Array (examples, heads, n, m) of 0..1: of characters written over those read. What
            exceeds an example's own characters is not drawn.
        sources: The text of up to m characters that was read, of each example: a matrix's columns.
        targets: The list of up to n characters or words that were written: its rows.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    require_data(weights=weights)
    heads = weights.shape[1]
    columns = heads if heads > 1 else 2
    rows = -(-len(weights) * heads // columns)
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    axes = iter(figure.subplots(rows, columns, squeeze=False).flat)
    for matrices, source, target in zip(weights, sources, targets, strict=True):
        names = [*source.replace(" ", "␣")]
        for head, matrix in enumerate(matrices, start=1):
            ax = next(axes)
            ax.imshow(
                matrix[: len(target), : len(names)], cmap="Blues", vmin=0, vmax=1, aspect="auto"
            )
            text = dict(fontsize=9 - 2 * (heads > 1), family="monospace")
            ax.set_xticks(range(len(names)), labels=names, **text)
            ax.set_yticks(range(len(target)), labels=target, **text)
            ax.tick_params(length=0)
            ax.set_title(f"head {head}" if heads > 1 else "", loc="left", fontsize=9)
    for ax in axes:
        ax.remove()
    return figure


def self_attention_matrices(weights, text):
    """Draw the attention of a text to itself: a matrix for each head.

    Args:
        weights: Array (heads, n, n): of each character over all of them.
        text: The n characters.

    Returns:
        A matplotlib figure.
    """
    names = [VISIBLE.get(character, character) for character in text]
    figure, axes = new_figure(width=5.5 * len(weights), height=5.5, columns=len(weights))
    for head, (ax, matrix) in enumerate(zip(axes, weights, strict=True), start=1):
        ax.imshow(matrix, cmap="Blues")
        ax.set_xticks(range(len(names)), labels=names, fontsize=6)
        ax.set_yticks(range(len(names)), labels=names, fontsize=6)
        ax.set_title(f"head {head}", loc="left")
        ax.grid(False)
    return figure


def spotlight(picture, weights):
    """Light a picture where it is attended to, and darken it elsewhere.

    Args:
        picture: Array (h, w, 3) of 0..255.
        weights: Array (rows, columns) of attention over the places of a map of the picture. The
            largest one has the picture's own light, 0 has DARK of it.

    Returns:
        uint8 array (h, w, 3).
    """
    from PIL import Image

    light = Image.fromarray(weights.astype("float32"))
    light = np.asarray(light.resize(picture.shape[1::-1], Image.Resampling.BICUBIC))
    light = np.clip(light / weights.max(), 0, 1)[..., None]
    return np.uint8(picture * (DARK + (1 - DARK) * light))
