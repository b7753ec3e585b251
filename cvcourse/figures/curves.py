"""Curves: a training by epoch, several runs side by side, gradients by step of a sequence."""

from cvcourse.figures.figure import (
    BLUE,
    GRAY,
    ORANGE,
    logarithmic,
    new_figure,
    require_data,
    whole_numbers,
)


def training_curves(history, best_epoch, loss, *, unit=1.0):
    """Draw loss, accuracy and learning rate by epoch.

    Args:
        history: Rows of history.csv: dicts of epoch, loss, accuracy, val_loss, val_accuracy and
            learning_rate.
        best_epoch: The epoch to mark.
        loss: Title of the losses, with their unit.
        unit: The unit in those of the history: log(2) for bits.

    Returns:
        A matplotlib figure.
    """
    require_data(history=history)
    history = [row | {key: row[key] / unit for key in ("loss", "val_loss")} for row in history]
    figure, axes = new_figure(width=11, height=3.2, columns=3)
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) == 1 else None
    for ax, key, title in zip(axes, ("loss", "accuracy"), (loss, "accuracy"), strict=False):
        for prefix, color, name in (("", BLUE, "training"), ("val_", ORANGE, "validation")):
            values = [row[prefix + key] for row in history]
            ax.plot(epochs, values, color=color, label=name, marker=marker)
        ax.axvline(best_epoch, color=GRAY, linewidth=0.8, linestyle=":", label="best epoch")
        ax.set_title(title, loc="left")
        ax.legend(frameon=False)
    losses = [row[key] for row in history for key in ("loss", "val_loss")]
    if 0 < 3 * min(losses) < max(losses):
        logarithmic(axes[0])
    axes[2].plot(epochs, [row["learning_rate"] for row in history], color=GRAY, marker=marker)
    axes[2].set_title("learning rate, at the epoch's end", loc="left")
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        whole_numbers(ax)
    return figure


def compared_curves(runs, titles, styles, *, x="epoch", xlabel="epoch"):
    """Draw several runs side by side: a panel a quantity, a line a run; losses logarithmic.

    Args:
        runs: {run: {quantity: values}}; the quantity `x` is along the axis.
        titles: {quantity: title} of what is drawn. A name that ends with "loss" is a loss.
        styles: {run: options of matplotlib's `plot`}, with a label.
        x: Name of the quantity along the axis.
        xlabel: Its label.

    Returns:
        A matplotlib figure.
    """
    figure, axes = new_figure(width=12, height=4.5, columns=len(titles))
    for ax, (key, title) in zip(axes, titles.items(), strict=True):
        for name, run in runs.items():
            ax.plot(run[x], run[key], **styles[name])
        if key.endswith("loss"):
            logarithmic(ax)
        ax.set_title(title, loc="left")
        ax.set_xlabel(xlabel)
        whole_numbers(ax)
    axes[-1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def gradient_reach(norms, styles, *, xlabel):
    """Draw norms of gradients by step of a sequence, as shares of each net's largest.

    Args:
        norms: {panel's title: {net: norms (steps,)}}.
        styles: {net: options of matplotlib's `plot`}, with a label.
        xlabel: What a step is.

    Returns:
        A matplotlib figure.
    """
    figure, axes = new_figure(width=11, height=4, columns=len(norms))
    for ax, (title, nets) in zip(axes, norms.items(), strict=True):
        for name, values in nets.items():
            largest = max(values) or 1.0
            shares = [value / largest for value in values]
            ax.plot(range(1, len(values) + 1), shares, **styles[name])
        ax.set_yscale("log")
        ax.set_title(title, loc="left")
        ax.set_xlabel(xlabel)
    low = min(ax.get_ylim()[0] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, 2)
    axes[0].set_ylabel("share of the largest")
    axes[-1].legend(frameon=False)
    return figure
