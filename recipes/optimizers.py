"""What each optimizer does: its path through a ravine and past a saddle, and its loss on a net.

    cvcourse optimizers
    cvcourse optimizers --dataset=fashion_mnist --limit=6000 --optimizers=sgd,nesterov,adam,lbfgs

An optimizer that has a learning rate gets the best of --rates: on the surfaces by the mean height
of its path, on the data set by the validation loss at the end. L-BFGS and Newton have none, and see
all training images at each step. The test split is not read.
"""

import dataclasses
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

FULL_BATCH = ("lbfgs", "newton")
OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "almost_adam", "adamw"),
    *FULL_BATCH,
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields, recipe.DataFields, recipe.ModelFields):
    """What is compared, and on what; the fields of `train` have its meaning."""

    optimizers: tuple[str, ...] = recipe.field(
        OPTIMIZERS, "the contestants", choices=OPTIMIZERS, distinct=True
    )
    rates: tuple[float, ...] = recipe.field(
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        "the grid of learning rates",
        above=0,
        distinct=True,
    )
    model: str = "mlp"
    model_args: dict = recipe.field({"hidden": (16,)}, "its builder's knobs; small, for Newton")
    epochs: int = recipe.field(20, "passes over the training images; full-batch steps", least=1)
    batch_size: int = recipe.field(32, "examples a step, but for full batches", least=1)
    weight_decay: float = recipe.field(0.01, "of adamw, decoupled; the others have none", least=0)
    precision: str = recipe.field(
        "float32", "dtype policy of the layers", choices=("float32", "mixed_bfloat16")
    )


def main(config):
    """Run every optimizer on the surfaces and on the data set; returns what metrics.json holds.

    Raises UsageError for a wrong value or a net too large for Newton, before anything is written;
    RunError where an optimizer diverges at every rate.
    """
    config, metrics = recipe.begin(config, "optimizers")
    if metrics:
        return metrics

    import_tensorflow_quietly()
    import keras

    from cvcourse import data, models, optimization
    from cvcourse.training import comparison

    keras.utils.set_random_seed(config.seed)
    with recipe.usage():
        models.knobs(config.model)
        dataset = data.of(config)
        model = train.build(recipe.as_config(train.Config, config), dataset)
        if "newton" in config.optimizers:  # is the net small enough?
            few = dataset.train.images[:1], dataset.train.labels[:1]
            optimization.newton(model, *few, loss=optimization.LOSSES["softmax"](), steps=0)
    with recipe.claim(config, "optimizers", config.model, config.dataset) as run:
        run.begin()
        rates, decay = config.rates, config.weight_decay
        paths = {
            where: {
                name: optimization.surface_path(name, surface, rates, weight_decay=decay)
                for name in config.optimizers
            }
            for where, surface in optimization.SURFACES.items()
        }
        losses = {
            key: optimization.Objective(
                model, split.images, split.labels, loss=optimization.LOSSES["softmax"]()
            )
            for key, split in (("loss", dataset.train), ("val_loss", dataset.validation))
        }
        curves = {name: curve(config, name, model, dataset, losses) for name in config.optimizers}
        steps = optimization.SURFACE_STEPS
        return comparison.conclude(
            run.path,
            metrics={"surfaces": paths, "curves": curves, "seed": config.seed},
            title=f"Optimizers: {config.model} on {pathlib.Path(config.dataset).stem}",
            lead=[
                f"Each has the best learning rate of {', '.join(map(str, config.rates))}: on the "
                "surfaces by the mean height of its path, on the data set by the validation loss "
                f"after {config.epochs} epochs. L-BFGS and Newton have none; each of their steps "
                "sees all training images, and one of Newton's takes the Hessian besides, at the "
                "price of a pass for each weight."
            ],
            tables={"After the last epoch": {name: ending(row) for name, row in curves.items()}},
            figures={
                "Loss by passes over the training images": draw_curves(curves),
                **{
                    f"{where.capitalize()}: {surface.formula}, {steps} steps": draw_paths(
                        surface, paths[where]
                    )
                    for where, surface in optimization.SURFACES.items()
                },
            },
            config=dataclasses.asdict(run.config),
        )


def curve(config, name, model, dataset, losses):
    """An optimizer's `losses` {key: Objective} by passes over a data set, and its accuracy then."""
    import keras

    from cvcourse import data, optimization, training

    batch_size = min(config.batch_size, len(dataset.train))
    settings = dict(batch_size=batch_size, seed=config.seed)

    def fit(on_step):
        model.fit(
            data.stream(dataset.train, **settings),
            epochs=config.epochs,
            steps_per_epoch=data.steps_per_epoch(dataset.train, batch_size),
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: on_step())],
            shuffle=False,  # the stream's affair
            verbose=0,
        )

    def note():
        weights = optimization.flat_weights(model)
        return {key: objective(weights)[0] for key, objective in losses.items()}

    def judged(run):
        batches = data.stream(dataset.validation, **settings, shuffle=False)
        evaluation = training.evaluate(model, dataset.validation, batches)
        return {**run, "val_accuracy": evaluation.accuracy}

    found = optimization.runs_by_rate(
        name,
        model,
        dataset.train.images,
        dataset.train.labels,
        optimization.LOSSES["softmax"](),
        rates=config.rates,
        steps=config.epochs,
        fit=fit,
        note=note,
        weight_decay=config.weight_decay,
    )
    run = optimization.lowest_run(name, map(judged, found), lambda run: run["val_loss"][-1])
    print(f"{name:12} val_loss {run['val_loss'][-1]:.4f}", flush=True)
    return run


def ending(run):
    """What a run came to, as a row of the report's table."""
    from cvcourse.training import comparison

    values = {key: run[key] for key in ("learning_rate", "val_accuracy")}
    values |= {key: run[key][-1] for key in ("passes", "loss", "val_loss")}
    return {key: comparison.spread([value]) for key, value in values.items()}


def draw_curves(curves):
    """Training and validation loss by passes, as a matplotlib figure."""
    from cvcourse.training.report import logarithmic, new_figure

    figure, axes = new_figure(width=12, height=5, columns=2)
    for ax, key, title in zip(
        axes, ("loss", "val_loss"), ("training loss (nats)", "validation loss (nats)"), strict=True
    ):
        for name, run in curves.items():
            ax.plot(run["passes"], run[key], **style(name), label=label(name, run))
        logarithmic(ax)
        ax.set_title(title, loc="left")
        ax.set_xlabel("passes over the training images (newton: steps)")
    axes[1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def draw_paths(surface, paths):
    """Each optimizer's path over a surface's contour lines, as a matplotlib figure."""
    import numpy as np
    from matplotlib.figure import Figure

    columns = min(5, len(paths))
    rows = -(-len(paths) // columns)
    figure = Figure(figsize=(12, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat
    x, y = np.meshgrid(np.linspace(*surface.x, 200), np.linspace(*surface.y, 200))
    for ax, (name, run) in zip(axes, paths.items(), strict=False):
        ax.contour(x, y, surface.height(x, y), 20, colors="#d0d7de", linewidths=0.7)
        color = style(name)["color"]
        ax.plot(run["x"], run["y"], color=color, linewidth=1.2, marker=".", markersize=4)
        ax.plot(run["x"][-1], run["y"][-1], color="black", marker="*", markersize=9)
        ax.set_title(label(name, run), fontsize=10)
        ax.set_xlim(surface.x)
        ax.set_ylim(surface.y)
    for ax in [*axes][len(paths) :]:
        ax.remove()
    return figure


def label(name, run):
    """The name with the learning rate, if there is one."""
    rate = run["learning_rate"]
    return name if rate is None else f"{name} {rate:g}"


def style(name):
    """An optimizer's color, the same in each picture; those of full batches are dashed."""
    from matplotlib import colormaps

    color = colormaps["tab10"](OPTIMIZERS.index(name))
    return dict(color=color, linestyle="--" if name in FULL_BATCH else "-")


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
