"""Compare optimizers: their paths in a ravine and at a saddle, and their losses on a net.

    cvcourse optimizers
    cvcourse optimizers --dataset=fashion_mnist --limit=6000 --optimizers=sgd,nesterov,adam,lbfgs

An optimizer with a learning rate uses the best of --rates: on the surfaces by the mean height of
its path, on the dataset by the last validation loss. L-BFGS and Newton have no learning rate, and
use all training images at each step. The test split is not read.
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
class Config(recipe.RunFields, recipe.PrecisionFields, recipe.DataFields, recipe.ModelFields):
    """Settings of the comparison; fields of `train` have the same meaning here."""

    optimizers: tuple[str, ...] = recipe.field(
        OPTIMIZERS, "optimizers to compare", choices=OPTIMIZERS, distinct=True
    )
    rates: tuple[float, ...] = recipe.field(
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), "grid of learning rates", above=0, distinct=True
    )
    model: str = "mlp"
    model_args: dict = recipe.field(
        {"hidden": (16,)}, "arguments of the model's builder; newton needs a small model"
    )
    epochs: int = recipe.field(20, "number of epochs, or of steps of lbfgs and newton", least=1)
    batch_size: int = recipe.field(32, "batch size, except for lbfgs and newton", least=1)
    weight_decay: float = recipe.field(0.01, "decoupled weight decay of adamw", least=0)


def main(config: Config) -> dict:
    """Run every optimizer on the surfaces and on the dataset, report; return the metrics."""
    config, metrics = recipe.begin(config, "optimizers")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, figures, models, optimization
    from cvcourse.training import comparison

    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        models.builder_args(config.model)
        dataset = data.of(config)
        model = train.build(recipe.as_config(train.Config, config), dataset)
        if "newton" in config.optimizers:  # check that the net is small enough
            few = dataset.train.images[:1], dataset.train.labels[:1]
            optimization.newton(model, *few, loss=optimization.LOSSES["softmax"](), steps=0)
    with recipe.open_run(config, "optimizers", config.model, config.dataset) as run:
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
        return comparison.write_comparison(
            run.path,
            metrics={"surfaces": paths, "curves": curves, "seed": config.seed},
            title=f"Optimizers: {config.model} on {pathlib.Path(config.dataset).stem}",
            lead=[
                "Each optimizer uses the best learning rate among "
                f"{', '.join(map(str, config.rates))}: on the surfaces by the mean height of its "
                f"path, on the dataset by the validation loss after {config.epochs} epochs. "
                "L-BFGS and Newton have no learning rate; each of their steps uses all training "
                "images, and a step of Newton also computes the Hessian, which costs a pass for "
                "each weight."
            ],
            tables={
                "After the last epoch": {
                    name: comparison.without_seeds(
                        row | {key: row[key][-1] for key in ("passes", "loss", "val_loss")}
                    )
                    for name, row in curves.items()
                }
            },
            figures={
                "Loss by passes over the training images": figures.compared_curves(
                    curves,
                    {"loss": "training loss (nats)", "val_loss": "validation loss (nats)"},
                    styles(curves),
                    x="passes",
                    xlabel="passes over the training images (newton: steps)",
                ),
                **{
                    f"{where.capitalize()}: {surface.formula}, {steps} steps": (
                        figures.surface_paths(
                            surface.height,
                            paths[where],
                            styles(paths[where]),
                            x=surface.x,
                            y=surface.y,
                        )
                    )
                    for where, surface in optimization.SURFACES.items()
                },
            },
            config=dataclasses.asdict(run.config),
        )


def curve(config, name, model, dataset, losses):
    """Train with an optimizer; return `losses` {key: Objective} by passes, and the accuracy."""
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
            shuffle=False,  # batches are already shuffled
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


def styles(runs):
    """Choose the line styles of runs: {name: options}; full-batch methods are dashed."""
    from cvcourse import figures

    labels = {
        name: name if name in FULL_BATCH else f"{name} {run['learning_rate']:g}"
        for name, run in runs.items()
    }
    return figures.styles(labels, OPTIMIZERS, dashed=FULL_BATCH)


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
