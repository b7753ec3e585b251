"""Axes, colors, scales and files of all figures; text is never parsed as mathematics."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Collection, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

from cvcourse.errors import RunError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE = "#1f6feb", "#e8710a"  # training, validation
GREEN = "#1a7f37"  # target values
GRAY, PALE = "#57606a", "#d0d7de"  # other data, and lines in the background
LONGEST = 40  # letters of a name in a figure
NOT_IN_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # control characters


def new_figure(*, width: float, height: float, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """Make a figure of `columns` axes side by side, without pyplot's global state.

    Args:
        width: Width in inches.
        height: Height in inches.
        columns: Number of axes.

    Returns:
        A matplotlib figure and an array of its axes (columns,).

    Raises:
        ValueError: If there are no columns.

    >>> figure, axes = new_figure(width=8, height=3, columns=2)
    >>> len(axes)
    2
    """
    from matplotlib.figure import Figure

    require_data(columns=range(columns))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        tidy(ax)
    return figure, axes


def require_data(**arguments: Sized) -> None:
    """Check that there is something to draw.

    Args:
        **arguments: Arguments of a figure that must not be empty, by name.

    Raises:
        ValueError: If one of them is empty.
    """
    for name, values in arguments.items():
        if len(values) == 0:
            raise ValueError(f"there is nothing to draw: {name} is empty; one or more are needed")


def tidy(ax):
    """Add a pale grid to an axis, and remove the lines at its top and right."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def palette(count: int) -> Sequence:
    """Return distinct colors, the same ones for each call with the same count.

    Args:
        count: Number of colors.

    Returns:
        A sequence of `count` matplotlib colors.

    >>> len(palette(12))
    12
    """
    from matplotlib import color_sequences, colormaps

    if count <= 20:
        return color_sequences["tab10" if count <= 10 else "tab20"][:count]
    return list(colormaps["gist_rainbow"](np.linspace(0, 1, count)))


def styles(
    labels: Mapping[str, str], order: Sequence[str], dashed: Collection[str] = ()
) -> dict[str, dict]:
    """Choose line styles; a name has the same color in all figures.

    Args:
        labels: {name: text of the legend}.
        order: All possible names.
        dashed: Names with dashed lines.

    Returns:
        {name: options of matplotlib's `plot`}.

    >>> styles({"b": "B"}, "ab", dashed="b")["b"]["linestyle"]
    '--'
    """
    colors = dict(zip(order, palette(len(order)), strict=True))
    return {
        name: {
            "color": colors[name],
            "label": label,
            "linestyle": "--" if name in dashed else "-",
        }
        for name, label in labels.items()
    }


def logarithmic(ax: Axes) -> None:
    """Make a y axis logarithmic, with plain numbers at 1, 2 and 5 times each power of ten.

    Args:
        ax: A matplotlib axis.

    >>> _, (ax,) = new_figure(width=4, height=3)
    >>> logarithmic(ax)
    >>> ax.get_yscale()
    'log'
    """
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def whole_numbers(ax):
    """Place the ticks of an x axis, such as epochs, at whole numbers."""
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def shortened(names: Sequence[str]) -> list[str]:
    """Shorten long names, since they would leave no room for the axes.

    Args:
        names: Texts.

    Returns:
        A list of the texts; the end of a long one is replaced by "...".
    """
    return [name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..." for name in names]


def save_figure(figure: Figure, file: Any, **options: Any) -> None:
    """Save a figure without parsing its texts as mathematics.

    Names of classes, files and hyperparameters may contain `$` and backslashes.

    Args:
        figure: A matplotlib figure.
        file: Path or binary file to write to.
        **options: Options of `Figure.savefig`.

    Raises:
        RunError: If the file cannot be written.

    >>> figure, _ = new_figure(width=4, height=3)
    >>> file = io.BytesIO()
    >>> save_figure(figure, file, format="png")
    >>> file.getvalue()[1:4]
    b'PNG'
    """
    import matplotlib
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, LogFormatterMathtext

    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        for get, set_ in (
            (axis.get_major_formatter, axis.set_major_formatter),
            (axis.get_minor_formatter, axis.set_minor_formatter),
        ):
            formatter = get()
            if isinstance(formatter, LogFormatterMathtext):  # writes powers as mathematics
                set_(LogFormatter(labelOnlyBase=formatter.labelOnlyBase))
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with matplotlib.rc_context({"text.parse_math": False}):  # for ticks added while drawing
        try:
            figure.savefig(file, **options)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror}") from error


def svg(figure: Figure, *, outlines: bool | None = None) -> str:
    """Render a figure as SVG for a page.

    Args:
        figure: A matplotlib figure.
        outlines: Whether to draw letters as outlines. If False, the browser renders them, in any
            script it knows. If None, letters are outlines if all of them are ASCII.

    Returns:
        A data URL.

    >>> figure, _ = new_figure(width=4, height=3)
    >>> svg(figure)[:26]
    'data:image/svg+xml;base64,'
    """
    import matplotlib
    from matplotlib.text import Text

    if outlines is None:
        outlines = all(text.get_text().isascii() for text in figure.findobj(Text))

    buffer = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "path" if outlines else "none"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # matplotlib only measures them
        save_figure(figure, buffer, format="svg", bbox_inches="tight")
    return data_url("image/svg+xml", NOT_IN_XML.sub("\ufffd".encode(), buffer.getvalue()))


def data_url(kind: str, data: bytes) -> str:
    """Encode the bytes of a file as a URL, to embed it in a page.

    Args:
        kind: Media type, such as image/png.
        data: Bytes of the file.

    Returns:
        The URL.

    >>> data_url("text/plain", b"abc")
    'data:text/plain;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
