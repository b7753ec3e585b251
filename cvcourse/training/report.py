"""A run as one self-contained HTML page: curves, confusions, mistakes, settings, layers."""

import base64
import importlib.resources
import io
import re
import warnings

import numpy as np

from cvcourse.files import write_text

BLUE, ORANGE, GRAY = "#1f6feb", "#e8710a", "#57606a"  # training, validation, the rest
MISTAKES = 24  # pictures
ANNOTATED = 20  # classes up to which the confusion matrix shows its counts
SHARP = 96  # side in pixels up to which a picture keeps each of them; JPEG is faster and smaller
NOT_IN_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # control characters
LOSSES = {  # name: what its values are, and their unit
    "softmax": ("cross-entropy", " (nats)"),
    "hinge": ("multiclass SVM loss", ""),
}


def write_report(
    path,
    *,
    title,
    metrics,
    config,
    history,
    model,
    dataset,
    evaluation,
    split,
    lead=(),
    tables=None,
    figures=None,
    galleries=None,
):
    """Write report.html: no file beside it and no network are needed to look at it.

    `evaluation` is of the split of `dataset` named `split`; `history` as ExactResume keeps it,
    empty where nothing was trained by steps. More for the reader: `lead` are paragraphs, `tables`
    {caption: rows of texts, the titles first}, `figures` {caption: matplotlib figure}, `galleries`
    {caption: rows of (image, text)}. Raises OSError where it cannot be written.
    """
    import jinja2

    source = importlib.resources.files("cvcourse.training").joinpath("report.html.j2")
    # Class names and paths are the user's: autoescape keeps them text.
    template = jinja2.Environment(autoescape=True).from_string(source.read_text("utf-8"))
    loss, unit = LOSSES[evaluation.loss_name]
    page = template.render(
        title=title,
        metrics=metrics,
        config=config,
        dataset=dataset,
        split=split,
        loss=loss,
        unit=unit,
        examples=len(evaluation.labels),
        best=history and history[metrics["best_epoch"] - 1],
        curves=history and svg(curves(history, metrics["best_epoch"], f"loss{unit}")),
        lead=lead,
        tables=tables or {},
        figures={caption: svg(figure) for caption, figure in (figures or {}).items()},
        galleries={
            caption: [[(picture(image), text) for image, text in row] for row in rows]
            for caption, rows in (galleries or {}).items()
        },
        confusion=svg(confusion_figure(evaluation.confusion, dataset.class_names)),
        classes=_classes(evaluation.confusion, dataset.class_names),
        mistakes=_mistakes(evaluation, getattr(dataset, split), dataset.class_names),
        layers=_layers(model),
    )
    write_text(path, page)


def curves(history, best_epoch, loss):
    """The loss, accuracy and learning rate by epoch, as a figure; `loss` is the first title."""
    figure, axes = new_figure(width=11, height=3.2, columns=3)
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) == 1 else None
    for ax, key, label in zip(axes, ("loss", "accuracy"), (loss, "accuracy"), strict=False):
        for prefix, color, name in (("", BLUE, "training"), ("val_", ORANGE, "validation")):
            values = [row[prefix + key] for row in history]
            ax.plot(epochs, values, color=color, label=name, marker=marker)
        ax.axvline(best_epoch, color=GRAY, linewidth=0.8, linestyle=":", label="best epoch")
        ax.set_title(label, loc="left")
        ax.legend(frameon=False)
    losses = [row[key] for row in history for key in ("loss", "val_loss")]
    if 0 < 3 * min(losses) < max(losses):
        logarithmic(axes[0])
    axes[2].plot(epochs, [row["learning_rate"] for row in history], color=GRAY, marker=marker)
    axes[2].set_title("learning rate, at the epoch's end", loc="left")
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def confusion_figure(counts, names):
    """Draw a confusion matrix, each row colored by its shares.

    Args:
        counts: Integer array (classes, classes): row the true class, column the predicted one.
        names: Of the classes.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import PowerNorm

    side = min(11, 3.5 + 0.5 * len(names)) if len(names) <= ANNOTATED else 11
    figure, (ax,) = new_figure(width=side, height=side * 0.9)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root lets a share of one in a hundred be seen beside the diagonal.
    image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    size = 9 if len(names) <= ANNOTATED else 5
    labels = dict(labels=names, fontsize=size)
    ax.set_xticks(range(len(names)), rotation=90 if max(map(len, names)) > 2 else 0, **labels)
    ax.set_yticks(range(len(names)), **labels)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.grid(False)
    if len(names) <= ANNOTATED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.4 else "black"
                ax.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, ax=ax, fraction=0.046, label="share of the true class")
    return figure


def reliability_figure(bins):
    """Draw accuracy over confidence: a bar a bin, a dot at its mean confidence.

    Args:
        bins: Counts, mean confidences and accuracies (bins,), as calibration.reliability gives.

    Returns:
        A matplotlib figure.
    """
    figure, (ax,) = new_figure(width=5, height=4)
    draw_reliability(ax, bins)
    ax.set_ylabel("accuracy")
    return figure


def draw_reliability(ax, bins):
    """Draw `reliability_figure`'s bars and dots on an axis of a larger figure."""
    counts, confidences, accuracies = bins
    edges = np.linspace(0, 1, len(counts) + 1)
    ax.bar(edges[:-1], accuracies, 1 / len(counts), align="edge", color=BLUE, alpha=0.6)
    there = counts > 0
    ax.plot(confidences[there], accuracies[there], "o", color=ORANGE, markersize=4)
    ax.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=0.8)
    ax.set_xlabel("confidence")


def _classes(counts, names):
    """A row a class, hardest first: name, examples, accuracy, and what it is mostly taken for."""
    rows = []
    for label, name in enumerate(names):
        others = counts[label].copy()
        total, right = int(others.sum()), int(others[label])
        others[label] = 0
        taken_for = f"{names[others.argmax()]} ({others.max()})" if others.any() else ""
        rows.append(
            dict(name=name, total=total, accuracy=right / max(total, 1), taken_for=taken_for)
        )
    return sorted(rows, key=lambda row: row["accuracy"])


def _mistakes(evaluation, split, names):
    """The wrong predictions the model was surest of, with their pictures."""
    examples, probabilities = evaluation.confident_mistakes(MISTAKES)
    return [
        dict(
            picture=picture(split.images[int(i)]),
            example=int(i),
            true=names[evaluation.labels[i]],
            predicted=names[evaluation.predictions[i]],
            probability=float(p),
        )
        for i, p in zip(examples, probabilities, strict=True)
    ]


def _layers(model):
    return [
        dict(
            name=layer.name,
            kind=type(layer).__name__,
            shape=" x ".join("batch" if side is None else str(side) for side in layer.output.shape),
            parameters=layer.count_params(),
        )
        for layer in model.layers
    ]


def new_figure(*, width, height, columns=1):
    """A matplotlib figure of `columns` axes, made without pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def logarithmic(ax):
    """Losses from below to above, each power of ten with its 1, 2 and 5 in plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def save_figure(figure, file, **options):
    """Save a figure with all its texts as they stand: none is parsed as mathematics.

    Names of classes, files and hyperparameters are the user's, and may hold `$` and backslashes.

    Args:
        figure: A matplotlib figure.
        file: Path or binary file to write to.
        **options: Options of `Figure.savefig`.

    Raises:
        OSError: If it cannot be written.
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
        figure.savefig(file, **options)


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
    return _data_url("image/svg+xml", NOT_IN_XML.sub("\ufffd".encode(), buffer.getvalue()))


def picture(image):
    """Raw pixels (h, w, c) of 0..255 as a data URL."""
    from PIL import Image

    image = np.uint8(np.clip(np.round(image), 0, 255))
    kind = "png" if max(image.shape[:2]) <= SHARP else "jpeg"
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, kind)
    return _data_url(f"image/{kind}", buffer.getvalue())


def _data_url(kind, data):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
