"""Random search against grid search at equal budget, and the lecture's picture from real trials.

    cvcourse random_against_grid
    cvcourse random_against_grid --model=resnet20 --dataset=fashion_mnist --limit=5000 --side=5

Two hyperparameters: the learning rate, which matters much, and weight decay, which matters little.
A grid of side x side trials tries `side` values of each, as many random trials try side x side of
each, so that random search looks at the one that matters more closely. Bergstra & Bengio, "Random
Search for Hyper-Parameter Optimization", JMLR 2012, figure 1; CS231n, lecture 7.
"""

import dataclasses
import functools
import sys

from cvcourse.recipes import train, tune

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

RANGES = {"learning_rate": (1e-3, 1.0), "weight_decay": (1e-6, 1e-3)}  # both logarithmic


@dataclasses.dataclass(frozen=True)
class Config(train.Config):
    """Two sweeps; the fields of `train` are what all trials have in common."""

    epochs: int = 5
    side: int = recipe.field(4, "values of each hyperparameter on the grid", least=2)


def main(config):
    """Run both sweeps, draw, report; returns what metrics.json holds.

    Raises what `cvcourse tune` does. After an interruption the same command goes on.
    """
    rules = {"fixed": "a grid takes no more trials"}
    config, metrics = recipe.begin(config, "random_against_grid", **rules)
    if metrics:
        return metrics
    import_tensorflow_quietly()

    from cvcourse import figures, training, tuning

    with recipe.open_run(
        config, "random_against_grid", config.model, config.dataset, **rules
    ) as run:
        run.begin()
        trials, found = {}, {}
        for oracle, points in (("grid", config.side), ("random", None)):
            sweep = sweep_of(config, oracle, run.path / oracle)
            print(f"\n{oracle} search", flush=True)
            with recipe.subrun(f"{oracle} search", run.command):
                found[oracle] = tune.main(sweep, functools.partial(space, points))
            trials[oracle] = [
                (*(trial.hyperparameters.values[name] for name in RANGES), trial.score)
                for trial in tuning.kept_trials(run.path / oracle)
                if trial.score is not None
            ]
        lead = [
            f"Each search has {config.side**2} trials of {config.epochs} epochs, which begin from "
            "the same weights. Each dot is a trial; above the plane its validation "
            "accuracy against the learning rate alone. The grid has only "
            f"{config.side} values of it.",
            *(
                f"Best of {name} search: {one['val_accuracy']:.4f}, at learning rate "
                f"{one['values']['learning_rate']:.3g} and weight decay "
                f"{one['values']['weight_decay']:.3g}."
                for name, one in found.items()
            ),
            "One draw of random trials says little of which search is better; another --seed is "
            "another draw.",
        ]
        print("", *lead[1:-1], sep="\n")
        return training.write_report(
            run.path,
            metrics={
                name: {key: one[key] for key in ("val_accuracy", "values", "trials", "failed")}
                for name, one in found.items()
            }
            | {"seed": config.seed},
            title=f"Random against grid search: {config.model} on {config.dataset}",
            lead=lead,
            figures={"The trials of both searches": figures.search_planes(trials)},
            config=dataclasses.asdict(run.config),
        )


def sweep_of(config, oracle, path):
    """The sweep of one of the two searches."""
    own = {"workdir": str(path), "oracle": oracle, "trials": config.side**2, "stop": "none"}
    return recipe.as_config(tune.Config, config, **own)


def space(points, hp, config):
    """RANGES: `points` values of each, evenly spaced in the logarithm, or, with None, any."""
    values = {}
    for name, (low, high) in RANGES.items():
        if points is None:
            values[name] = hp.Float(name, low, high, sampling="log")
        else:
            step = (high / low) ** (1 / (points - 1))
            values[name] = hp.Choice(name, [low * step**i for i in range(points)])
    return dataclasses.replace(config, **values)


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
