"""An examination as one self-contained HTML page: a verdict a step, what to change, pictures."""

import importlib.resources

import numpy as np

from cvcourse.classic.gradient_check import RIGHT
from cvcourse.files import write_text
from cvcourse.training import doctor
from cvcourse.training.report import BLUE, GRAY, ORANGE, new_figure, svg

GREEN = "#1a7f37"  # where a value should be
QUESTIONS = {
    "initial_loss": "Is the loss before training that of a guess?",
    "memorize": "Can the model learn a few examples by heart?",
    "learning_rate": "Does the loss fall at the run's learning rate, for images not seen too?",
    "updates": "Do all weights move, and do signals reach every layer?",
    "gradients": "Is the gradient the slope of the loss?",
    "pipeline": "Do the data come as fast as the model trains?",
}


def write_examination(path, *, title, findings, report, config, chance):
    """Write report.html of an examination: `findings` as doctor gives them, `report` as check.json.

    `chance` is the loss of a guess. Raises OSError where it cannot be written.
    """
    import jinja2

    source = importlib.resources.files("cvcourse.training").joinpath("doctor.html.j2")
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(source.read_text("utf-8"))
        .render(
            title=title,
            report=report,
            config=config,
            said=doctor.said,
            steps=[
                dict(
                    finding=finding,
                    question=QUESTIONS[finding.name],
                    picture=_picture(finding, chance),
                )
                for finding in findings
            ],
            layers=next((f.curves["before"] for f in findings if "before" in f.curves), ()),
        )
    )
    write_text(path, page)


def _picture(finding, chance):
    """The SVG of a step that has curves; None of another."""
    draw = PICTURES.get(finding.name)
    return draw(finding, chance) if draw and finding.curves else None


def _memorize(finding, chance):
    figure, (ax,) = new_figure(width=7, height=3)
    for (rate, losses), alpha in zip(finding.curves.items(), (1, 0.6, 0.3), strict=False):
        ax.plot(losses, color=BLUE, alpha=alpha, label=f"Adam, rate {rate:g}")
    _line(ax, doctor.MEMORIZED * chance, "memorized")
    ax.set_title("loss of the same few examples", loc="left")
    _log(ax, "step")
    return svg(figure)


def _learning_rate(finding, chance):
    tested, losses = finding.curves["range"], finding.curves["losses"]
    figure, axes = new_figure(width=11, height=3.2, columns=2)
    axes[0].plot(tested.rates, tested.losses, color=GRAY, alpha=0.4, linewidth=0.8)
    axes[0].plot(tested.rates, tested.smoothed, color=BLUE, label="smoothed")
    if finding.expected:
        axes[0].axvspan(*finding.expected, color=GREEN, alpha=0.12, label="suggested")
    axes[0].axvline(finding.value, color=ORANGE, linestyle="--", label="this run's")
    axes[0].set_xscale("log")
    axes[0].set_xlabel("learning rate")
    axes[0].set_title("range test: loss at a rising rate", loc="left")
    axes[1].plot(losses, color=ORANGE)
    axes[1].set_xlabel("step")
    axes[1].set_title(f"loss at {finding.value:g}", loc="left")
    for ax in axes:
        ax.set_ylim(0, min(ax.get_ylim()[1], doctor.LOUD * chance))
        _line(ax, chance, "a guess")
        ax.legend(frameon=False)
    return svg(figure)


def _updates(finding, chance):
    shares, rows = finding.curves["shares"], finding.curves["before"]
    figure, axes = new_figure(width=11, height=3.2, columns=3)
    axes[0].plot([*shares.values()], "o-", color=BLUE, markersize=3)
    axes[0].axhspan(*doctor.MODEST, color=GREEN, alpha=0.12)
    _line(axes[0], doctor.UPDATE, "usual")
    axes[0].set_title("update / weights, by kernel", loc="left")
    gradients = [row.gradient_std for row in finding.curves["after"]]
    axes[1].plot([row.std for row in rows], color=BLUE, label="outputs")
    axes[1].plot(gradients, color=ORANGE, label=f"gradients, {doctor.TRAINED} steps later")
    axes[1].set_title("standard deviation, by layer", loc="left")
    for field, color in (("dead", GRAY), ("saturated", ORANGE)):
        places = [i for i, row in enumerate(rows) if getattr(row, field) is not None]
        if places:
            values = [getattr(rows[i], field) for i in places]
            axes[2].plot(places, values, "o", color=color, label=field, markersize=4)
    axes[2].set_title("dead ReLUs, saturated values, by layer", loc="left")
    axes[2].set_ylim(-0.02, 1.02)
    axes[2].set_xlim(-0.5, len(rows) - 0.5)
    axes[2].set_xlabel("layer")
    if axes[2].lines:
        axes[2].legend(frameon=False)
    _log(axes[0], "kernel")
    _log(axes[1], "layer")
    return svg(figure)


def _gradients(finding, chance):
    figure, (ax,) = new_figure(width=7, height=3)
    checks = [check for _, check in finding.curves["checks"]]
    for kink, color, label in ((False, BLUE, "checked"), (True, GRAY, "a kink, left out")):
        places = [i for i, check in enumerate(checks) if check.kink == kink]
        errors = [max(checks[i].error, 1e-12) for i in places]
        if places:
            ax.plot(places, errors, "o", color=color, label=label, markersize=4)
    _line(ax, RIGHT, "bound")
    ax.set_title("relative error of the gradient", loc="left")
    _log(ax, "parameter, from the input to the scores")
    return svg(figure)


def _pipeline(finding, chance):
    figure, (ax,) = new_figure(width=7, height=3)
    for values, color, label in (("works", BLUE, "training"), ("waits", ORANGE, "waiting")):
        ax.plot(1e3 * np.array(finding.curves[values]), color=color, label=label)
    ax.set_title("time of a step (ms)", loc="left")
    _log(ax, "step")
    return svg(figure)


PICTURES = {
    "memorize": _memorize,
    "learning_rate": _learning_rate,
    "updates": _updates,
    "gradients": _gradients,
    "pipeline": _pipeline,
}


def _line(ax, value, label):
    ax.axhline(value, color=GREEN, linewidth=0.9, linestyle=":", label=label)


def _log(ax, label):
    """A logarithmic y axis if anything is positive, a label on the other, and a legend."""
    if any((np.asarray(line.get_ydata(), float) > 0).any() for line in ax.lines):
        ax.set_yscale("log")
    ax.set_xlabel(label)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
