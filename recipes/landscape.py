"""The landscape of networks as the course draws it: accuracy against work, as large as its weights.

    cvcourse landscape
    cvcourse landscape --output=landscape.png

Top-1 accuracy on ImageNet, as published with the weights that cvcourse.models.PUBLISHED_ACCURACY
names, over the multiply-accumulates of one image; a disc's area is the number of parameters.
After Canziani et al. 2016, https://arxiv.org/abs/1605.07678, figure 2.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly

AREA = 6.0  # points^2 for a million parameters


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the picture goes."""

    output: str = recipe.field("runs/landscape.svg", "the file: .svg, .png or .pdf")


def main(config):
    """Draw the picture; returns {network: [MACs, parameters, top-1]} of the points in it."""
    config = recipe.check(config)
    with recipe.usage():
        if not config.output.endswith((".svg", ".png", ".pdf")):
            raise ValueError(f"--output is an .svg, .png or .pdf file; received {config.output!r}")
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse import models, training

    points = {}
    for name in models.REGISTRY:
        dataset, top1, _ = models.PUBLISHED_ACCURACY.get(name, ("", None, ""))
        if dataset == "ImageNet":
            cost = models.summary(name)
            points[name] = [cost.macs, cost.trainable, top1]
    figure = draw(points, {name: models.family(name) for name in points})
    try:
        training.save_figure(figure, output)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    print(f"{len(points)} networks: {output}")
    return points


def draw(points, families):
    """A matplotlib figure of {network: (MACs, parameters, top-1)}, colored by {network: family}."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.5), layout="constrained")
    ax = figure.subplots()
    colors = dict(
        zip(dict.fromkeys(families.values()), colormaps["tab20"].colors * 2, strict=False)
    )
    for name, (macs, parameters, top1) in points.items():
        ax.scatter(
            macs / 1e9,
            top1,
            s=AREA * parameters / 1e6,
            color=colors[families[name]],
            alpha=0.55,
            linewidth=0.5,
            edgecolor="black",
        )
    for millions in (1, 10, 100):
        ax.scatter([], [], s=AREA * millions, color="lightgray", label=f"{millions} M parameters")
    ax.legend(frameon=False, loc="lower right", labelspacing=1.6, borderpad=1.5)
    ax.set_xscale("log")
    ax.set_xlabel("multiply-accumulates of one image (billions)")
    ax.set_ylabel("top-1 accuracy on ImageNet (%)")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    label(ax, {name: (macs / 1e9, top1) for name, (macs, _, top1) in points.items()})
    return figure


def label(ax, points):
    """Write each name at its point, or as little above or below it as keeps it off the others."""
    ax.figure.draw_without_rendering()  # so that places on the page are known
    taken = []
    for name, point in points.items():
        text = ax.annotate(
            name, point, (0, 0), textcoords="offset points", fontsize=7, ha="center", va="center"
        )
        for offset in (0, 8, -8, 16, -16, 24, -24, 32, -32):
            text.set_position((0, offset))
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
