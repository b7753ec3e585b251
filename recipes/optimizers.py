"""What each optimizer does: its path through a ravine and past a saddle, and its loss on a net.

    cvcourse optimizers
    cvcourse optimizers --dataset=fashion_mnist --limit=6000 --optimizers=sgd,nesterov,adam,lbfgs

An optimizer that has a learning rate gets the best of --rates: on the surfaces by the mean height
of its path, on the data set by the validation loss at the end. L-BFGS and Newton have none, and see
all training images at each step. The test split is not read.
"""

import dataclasses
import functools
import json
import math
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly

RULES = {"free": ("workdir", "data_dir"), "vouched": ("dataset",)}
AS_IN_TRAIN = ("model", "model_args", "dataset", "data_dir", "limit")
FULL_BATCH = ("lbfgs", "newton")
OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "almost_adam", "adamw"),
    *FULL_BATCH,
)


@dataclasses.dataclass(frozen=True)
class Surface:
    """The height over a plane, where paths on it begin, and what of it is drawn."""

    formula: str
    height: object  # (x, y) -> z
    start: tuple
    x: tuple
    y: tuple


SURFACE_STEPS = 60
SURFACES = {
    "ravine": Surface(
        "x²/40 + y²", lambda x, y: x**2 / 40 + y**2, (-8.0, 1.6), (-9, 4), (-2.2, 2.2)
    ),
    "saddle": Surface(
        "x²/2 − y²/2 + y⁴/8",
        lambda x, y: x**2 / 2 - y**2 / 2 + y**4 / 8,
        (-1.8, 0.01),
        (-2.2, 2.2),
        (-2.2, 2.2),
    ),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared, and on what; the fields of `train` have its meaning."""

    optimizers: tuple[str, ...] = recipe.field(OPTIMIZERS, "the contestants", choices=OPTIMIZERS)
    rates: tuple[float, ...] = recipe.field(
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), "the grid of learning rates", above=0
    )
    model: str = recipe.field("mlp", "a network of cvcourse.models.REGISTRY")
    model_args: dict = recipe.field({"hidden": (16,)}, "its builder's knobs; small, for Newton")
    dataset: str = recipe.field("digits", "as in train")
    data_dir: str | None = recipe.field(None, "where published data sets are looked for first")
    limit: int | None = recipe.field(None, "N examples of each split, of every class", least=1)
    epochs: int = recipe.field(20, "passes over the training images; full-batch steps", least=1)
    batch_size: int = recipe.field(32, "examples a step, but for full batches", least=1)
    weight_decay: float = recipe.field(0.01, "of adamw, decoupled; the others have none", least=0)
    seed: int = recipe.field(0, "of weights and order", least=0, below=2**32)
    workdir: str | None = recipe.field(None, "the run's directory; none: a fresh one under runs/")


def main(config):
    """Run every optimizer on the surfaces and on the data set; returns what metrics.json holds.

    Raises UsageError for a wrong value or a net too large for Newton, before anything is written;
    RunError where an optimizer diverges at every rate.
    """
    config = recipe.check(config)
    with recipe.usage():
        for name, values in (("optimizers", config.optimizers), ("rates", config.rates)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"--{name} names one or more, each once; received {values}")
    if metrics := recipe.recognize(config, "optimizers", **RULES):
        print(f"{config.workdir} is finished: {json.dumps(metrics)}")
        return metrics

    import_tensorflow_quietly()
    import keras

    from cvcourse import data, figures, models, optimization
    from cvcourse.training import comparison

    keras.utils.set_random_seed(config.seed)
    with recipe.usage():
        models.knobs(config.model)
        dataset = data.of(config)
        setting = train.Config(**{name: getattr(config, name) for name in AS_IN_TRAIN})
        model = train.build(setting, dataset)
        if "newton" in config.optimizers:  # is the net small enough?
            few = dataset.train.images[:1], dataset.train.labels[:1]
            optimization.newton(model, *few, loss=optimization.LOSSES["softmax"](), steps=0)
    with recipe.claim(config, "optimizers", config.model, config.dataset, **RULES) as run:
        run.begin()
        paths = {
            where: {name: path(config, name, surface) for name in config.optimizers}
            for where, surface in SURFACES.items()
        }
        losses = {
            key: optimization.Objective(
                model, split.images, split.labels, loss=optimization.LOSSES["softmax"]()
            )
            for key, split in (("loss", dataset.train), ("val_loss", dataset.validation))
        }
        curves = {name: curve(config, name, model, dataset, losses) for name in config.optimizers}
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
                "Loss by passes over the training images": figures.compared_curves(
                    curves,
                    {"loss": "training loss (nats)", "val_loss": "validation loss (nats)"},
                    styles(curves),
                    x="passes",
                    xlabel="passes over the training images (newton: steps)",
                ),
                **{
                    f"{where.capitalize()}: {surface.formula}, {SURFACE_STEPS} steps": (
                        figures.surface_paths(
                            surface.height,
                            paths[where],
                            styles(paths[where]),
                            x=surface.x,
                            y=surface.y,
                        )
                    )
                    for where, surface in SURFACES.items()
                },
            },
            config=dataclasses.asdict(run.config),
        )


def path(config, name, surface):
    """An optimizer's way over a surface: its learning rate, and its points and their heights."""
    import keras
    import numpy as np

    from cvcourse import optimization

    # A net whose answer to 1 is its two weights, so that its loss is the height at them.
    point = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    point.set_weights([np.array([surface.start])])
    examples = np.ones((1, 1), "float32"), np.zeros((1, 2), "float32")

    def fit(on_step):
        for _ in range(SURFACE_STEPS):
            point.train_on_batch(*examples)
            on_step()

    def note():
        x, y = optimization.flat_weights(point).tolist()
        return {"x": x, "y": y, "height": surface.height(x, y)}

    def height(_, points):
        return surface.height(points[:, 0], points[:, 1])

    found = runs(config, name, point, examples, height, steps=SURFACE_STEPS, fit=fit, note=note)
    return lowest(name, found, lambda run: sum(run["height"]))


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

    examples, loss = (dataset.train.images, dataset.train.labels), optimization.LOSSES["softmax"]()
    found = runs(config, name, model, examples, loss, steps=config.epochs, fit=fit, note=note)
    run = lowest(name, map(judged, found), lambda run: run["val_loss"][-1])
    print(f"{name:12} val_loss {run['val_loss'][-1]:.4f}", flush=True)
    return run


def runs(config, name, model, examples, loss, *, steps, fit, note):
    """Train `model` from its weights on, once for each learning rate where there is one.

    `fit(on_step)` trains the compiled model; `note()` gives numbers to keep, before the first step
    and after each. Yields the run, with the model at its end: its learning_rate, its passes over
    the examples, and a list of each number. The model has its first weights again at the end.
    """
    from cvcourse import optimization

    start = model.get_weights()

    def run(rate, fit):
        notes = [note()]
        history = fit(on_step=lambda: notes.append(note())) or {}
        return {
            "learning_rate": rate,
            "passes": history.get("passes", [*range(len(notes))]),
            **{key: [row[key] for row in notes] for key in notes[0]},
        }

    if name in FULL_BATCH:
        method = getattr(optimization, name)
        yield run(None, functools.partial(method, model, *examples, loss=loss, steps=steps))
    else:
        decay = config.weight_decay if name == "adamw" else 0.0
        optimizer = optimization.optimizer(name, model, config.rates[0], weight_decay=decay)
        optimizer.build(model.trainable_variables)
        fresh = [variable.numpy() for variable in optimizer.variables]
        model.compile(optimizer, loss)
        for rate in config.rates:  # with one optimizer: its step is traced once
            model.set_weights(start)
            optimizer.set_weights(fresh)
            optimizer.learning_rate = rate
            yield run(rate, fit)
    model.set_weights(start)


def lowest(name, found, cost):
    """The run of the least `cost(run)`. Raises RunError where that is never a finite number."""
    costs = [(cost(run), run) for run in found]
    finite = [pair for pair in costs if math.isfinite(pair[0])]
    if not finite:
        raise RunError(f"{name} diverges at every rate: give --rates lower ones")
    return min(finite, key=lambda pair: pair[0])[1]


def ending(run):
    """What a run came to, as a row of the report's table."""
    from cvcourse.training import comparison

    values = {key: run[key] for key in ("learning_rate", "val_accuracy")}
    values |= {key: run[key][-1] for key in ("passes", "loss", "val_loss")}
    return {key: comparison.spread([value]) for key, value in values.items()}


def styles(runs):
    """How the runs are drawn: an optimizer's color is the same in each picture; {name: options}.

    Those of full batches are dashed. The label has the learning rate, if there is one.
    """
    from cvcourse import figures

    colors = dict(zip(OPTIMIZERS, figures.palette(len(OPTIMIZERS)), strict=True))
    return {
        name: {
            "color": colors[name],
            "linestyle": "--" if name in FULL_BATCH else "-",
            "label": name if name in FULL_BATCH else f"{name} {run['learning_rate']:g}",
        }
        for name, run in runs.items()
    }


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="optimizers", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
