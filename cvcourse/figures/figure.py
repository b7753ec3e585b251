"""What all figures share: axes, colors, scales, and files in which no text is mathematics."""

import base64
import io
import re
import warnings

import numpy as np

from cvcourse.errors import RunError

BLUE, ORANGE = "#1f6feb", "#e8710a"  # training, validation
GREEN = "#1a7f37"  # where a value should be
GRAY, PALE = "#57606a", "#d0d7de"  # the rest, and lines behind it
LONGEST = 40  # letters of a name in a figure
NOT_IN_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # control characters


def new_figure(*, width, height, columns=1):
    """Make a figure of `columns` axes side by side, without pyplot's global state.

    Args:
        width: Of the figure, in inches.
        height: Of the figure, in inches.
        columns: Number of axes.

    Returns:
        A matplotlib figure and an array of its axes (columns,).

    Raises:
        ValueError: If there are no columns.
    """
    from matplotlib.figure import Figure

    require_data(columns=range(columns))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        tidy(ax)
    return figure, axes


def require_data(**arguments):
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
    """Give an axis a pale grid, and no lines at its top and right."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def palette(count):
    """Return colors that are easy to tell apart, always the same for a count.

    Args:
        count: Number of colors.

    Returns:
        A sequence of `count` matplotlib colors.
    """
    from matplotlib import colormaps

    if count <= 20:
        return colormaps["tab10" if count <= 10 else "tab20"].colors[:count]
    return colormaps["gist_rainbow"](np.linspace(0, 1, count))


def styles(labels, order, dashed=()):
    """Choose how lines are drawn: a name's color is the same in each picture.

    Args:
        labels: {name: text of the legend}.
        order: All names that there may be.
        dashed: Names whose lines are dashed.

    Returns:
        {name: options of matplotlib's `plot`}.
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


def logarithmic(ax):
    """Make a y axis logarithmic, with 1, 2 and 5 of each power of ten in plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def whole_numbers(ax):
    """Put the ticks of an x axis, such as one of epochs, at whole numbers."""
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def shortened(names):
    """Shorten names for a figure, whose axes would be left no room by long ones.

    Args:
        names: Texts.

    Returns:
        A list of the texts, the end of each long one replaced by "...".
    """
    return [name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..." for name in names]


def save_figure(figure, file, **options):
    """Save a figure with all its texts as they stand: none is parsed as mathematics.

    Names of classes, files and hyperparameters are the user's, and may hold `$` and backslashes.

    Args:
        figure: A matplotlib figure.
        file: Path or binary file to write to.
        **options: Options of `Figure.savefig`.

    Raises:
        RunError: If it cannot be written.
    """
    import matplotlib
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, LogFormatterMathtext

    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        for get, set_ in (
            (axis.get_major_formatter, axis.set_major_formatter),
            (axis.get_minor_formatter, axis.set_minor_formatter),
        ):
            if isinstance(get(), LogFormatterMathtext):  # whose powers are mathematics
                set_(LogFormatter(labelOnlyBase=get().labelOnlyBase))
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with matplotlib.rc_context({"text.parse_math": False}):  # of ticks that drawing adds
        try:
            figure.savefig(file, **options)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror}") from error


def svg(figure, *, outlines=None):
    """Draw a figure as an SVG picture for a page.

    Args:
        figure: A matplotlib figure.
        outlines: Whether letters are drawn. If not, the browser sets them, in any script it knows.
            None draws them if all are ASCII.

    Returns:
        A data URL.
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
        warnings.filterwarnings("ignore", "Glyph .* missing")  # matplotlib measures all the same
        save_figure(figure, buffer, format="svg", bbox_inches="tight")
    return data_url("image/svg+xml", NOT_IN_XML.sub("\ufffd".encode(), buffer.getvalue()))


def data_url(kind, data):
    """Return the bytes of a file as a URL, which a page has in it.

    Args:
        kind: Media type, such as image/png.
        data: Bytes of the file.

    Returns:
        A str.
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
