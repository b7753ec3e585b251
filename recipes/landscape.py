"""Plot the accuracy of networks over multiply-accumulates, with discs sized by parameters.

    cvcourse landscape
    cvcourse landscape --output=landscape.png

Top-1 accuracy on ImageNet, as published with the weights that cvcourse.models.PUBLISHED_ACCURACY
names, over the multiply-accumulates of one image; the area of a disc is the number of parameters.
After Canziani et al. 2016, https://arxiv.org/abs/1605.07678, figure 2. report.html in the run
directory shows the figure and its numbers, metrics.json contains the numbers; --output is the file
of the figure.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

PICTURE = "Top-1 accuracy on ImageNet over multiply-accumulates"


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields):
    """Files of the figure and the report."""

    output: str = recipe.field("runs/landscape.svg", "file of the figure: .svg, .png or .pdf")


def main(config: Config) -> dict:
    """Draw the figure.

    Args:
        config: Config.

    Returns:
        {network: [MACs, parameters, top-1 in percent]}.
    """
    config, metrics = recipe.begin(
        config,
        "landscape",
        shown=lambda found: [*found["networks"]],
    )
    if metrics:
        return metrics["networks"]
    output = recipe.output_file(config.output, recipe.PICTURES)
    import_tensorflow_quietly()
    from cvcourse import figures, models, training

    with recipe.open_run(config, "landscape") as run:
        run.begin()
        points = {}
        for name in models.REGISTRY:
            dataset, top1, _ = models.PUBLISHED_ACCURACY.get(name, ("", None, ""))
            if dataset == "ImageNet":
                cost = models.cost(name)
                points[name] = [cost.macs, cost.trainable, top1]
        families = {name: models.family(name) for name in points}
        figure = figures.accuracy_by_work(points, families)
        figures.save_figure(figure, output)
        training.write_report(
            run.path,
            title="The landscape of networks",
            metrics={"networks": points},
            lead=["The area of a disc is the number of parameters."],
            sections=[
                {"caption": PICTURE, "figure": figure},
                {"caption": "Networks", "table": table(points, families)},
            ],
            config=dataclasses.asdict(run.config),
        )
    print(f"{len(points)} networks: {output}")
    return points


def table(points, families):
    """Return the report's table: a row of texts for each network."""
    return [
        ["network", "family", "MACs", "parameters", "top-1, %"],
        *(
            [name, families[name], f"{macs:,}", f"{parameters:,}", f"{top1:g}"]
            for name, (macs, parameters, top1) in points.items()
        ),
    ]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
