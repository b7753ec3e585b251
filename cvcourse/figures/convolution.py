"""Convolution: time by size of the kernel, and filters of a photo with their frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import logarithmic, new_figure, palette, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def time_by_kernel(seconds: Mapping[str, Mapping[int, Mapping]]) -> Figure:
    """Draw the time of methods by the size of the kernel: medians, and bands between quartiles.

    Args:
        seconds: {method: {size of the kernel: {"median": seconds, "quartiles": (low, high)}}}. A
            method of one size is a point.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> row = {"median": 0.002, "quartiles": (0.001, 0.003)}
    >>> figure = time_by_kernel({"direct": {1: row, 3: row}})
    >>> figure.axes[0].get_yscale()
    'log'
    """
    require_data(seconds=seconds)
    figure, (ax,) = new_figure(width=8, height=4)
    for (method, rows), color in zip(seconds.items(), palette(len(seconds)), strict=True):
        sizes = sorted(rows)
        median = [1e3 * rows[size]["median"] for size in sizes]
        low, high = 1e3 * np.array([rows[size]["quartiles"] for size in sizes]).T
        marker = "o" if len(sizes) > 1 else "D"
        ax.plot(sizes, median, marker=marker, markersize=4, color=color, label=method)
        ax.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0)
    logarithmic(ax)
    ax.set_xticks(sorted({size for rows in seconds.values() for size in rows}))
    ax.set_xlabel("height and width of the kernel")
    ax.set_ylabel("milliseconds")
    ax.legend(frameon=False)
    return figure


def filtered_photos(
    kernels: Mapping[str, np.ndarray],
    results: Mapping[str, np.ndarray],
    responses: Mapping[str, np.ndarray],
) -> Figure:
    """Draw a row per filter: its kernel, the filtered photo, and its frequency response.

    A result is shown as 0..255, or, if the kernel sums to 0, with 0 as gray and the largest
    hundredth of the magnitudes as black or white.

    Args:
        kernels: {name: kernel (K, K)}.
        results: {name: filtered photo (H, W)}.
        responses: {name: response (size, size), frequency 0 at size // 2}.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> gray = np.full((4, 6), 128.0)
    >>> figure = filtered_photos({"b": np.ones((1, 1))}, {"b": gray}, {"b": np.ones((8, 8))})
    >>> [ax.get_title() for ax in figure.axes]
    ['kernel', 'result', 'frequency response']
    """
    from matplotlib.figure import Figure

    require_data(kernels=kernels)
    height, width = next(iter(results.values())).shape
    figure = Figure(figsize=(8, 1.9 * len(kernels)), layout="constrained")
    ratios = {"width_ratios": (1, width / height, 1)}
    grid = figure.subplots(len(kernels), 3, squeeze=False, gridspec_kw=ratios)
    for (name, kernel), (left, middle, right) in zip(kernels.items(), grid, strict=True):
        largest = 1.5 * np.abs(kernel).max()  # pale, below the numbers
        left.imshow(kernel, cmap="RdBu", vmin=-largest, vmax=largest)
        for (row, column), value in np.ndenumerate(kernel):
            text = f"{value:.3f}".rstrip("0").rstrip(".").replace("0.", ".")
            left.text(column, row, text, ha="center", va="center", fontsize=7)
        left.set_ylabel(name)
        limit = np.percentile(np.abs(results[name]), 99)
        low, high = (-limit, limit) if abs(kernel.sum()) < 1e-9 else (0, 255)
        middle.imshow(results[name], cmap="gray", vmin=low, vmax=high)
        right.imshow(responses[name], cmap="magma", vmin=0, extent=(-0.5, 0.5, 0.5, -0.5))
        right.set_ylabel(f"0 to {responses[name].max():.3g}", fontsize=8)
        for ax in (left, middle, right):
            ax.set_xticks([])
            ax.set_yticks([])
    for ax, title in zip(grid[0], ("kernel", "result", "frequency response"), strict=True):
        ax.set_title(title)
    last = grid[-1][2]
    last.set_xticks([-0.5, 0, 0.5])
    last.tick_params(labelsize=7)
    last.set_xlabel("cycles per pixel", fontsize=8)
    return figure
