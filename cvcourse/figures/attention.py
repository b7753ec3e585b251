"""Figures of attention: matrices of weights, and a photo highlighted by attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import new_figure, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VISIBLE = {"\n": "↵", "\t": "⇥", " ": "·"}  # symbols for blank characters
DARK = 0.35  # share of the brightness for a weight of 0


def alignment_matrices(
    weights: np.ndarray, sources: Sequence[str], targets: Sequence[Sequence[str]]
) -> Figure:
    """Draw the attention of a translator: a matrix for each example and head.

    Args:
        weights: Array (examples, heads, n, m) of 0..1, of target over source characters. Weights
            beyond the characters of an example are not drawn.
        sources: Source text of each example, up to m characters: columns of its matrices.
        targets: List of up to n target characters or words of each example: rows.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = alignment_matrices(np.ones((1, 2, 2, 3)), ["one"], ["ab"])
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['head 1', 'head 2']
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


def self_attention_matrices(weights: np.ndarray, text: str) -> Figure:
    """Draw the self-attention of a text: a matrix for each head.

    Args:
        weights: Array (heads, n, n), of each character over all characters.
        text: Text of n characters.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> len(self_attention_matrices(np.eye(3)[None], "cat").axes)
    1
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


def spotlight(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Highlight the attended parts of a picture, and darken the others.

    Args:
        picture: Array (h, w, 3) of 0..255.
        weights: Array (rows, columns) of attention over a feature map of the picture. A part with
            the largest weight keeps its brightness; with weight 0 it keeps the share DARK.

    Returns:
        uint8 array (h, w, 3).

    >>> spotlight(np.full((2, 2, 3), 200), np.ones((1, 1)))[0, 0]
    array([200, 200, 200], dtype=uint8)
    """
    from PIL import Image

    small = Image.fromarray(weights.astype("float32"))
    light = np.asarray(small.resize(picture.shape[1::-1], Image.Resampling.BICUBIC))
    light = np.clip(light / weights.max(), 0, 1)[..., None]
    return (picture * (DARK + (1 - DARK) * light)).astype("uint8")
