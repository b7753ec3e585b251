"""Compare random search and grid search at equal budget: the lecture's figure, from real trials.

    cvcourse random_against_grid
    cvcourse random_against_grid --model=resnet20 --dataset=fashion_mnist --limit=5000 --side=5

Two hyperparameters: the learning rate, which matters much, and weight decay, which matters little.
A grid of side x side trials tries only `side` values of each hyperparameter; the same number of
random trials tries side x side values of each, and so searches the important one more finely.
Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012, figure 1; CS231n,
lecture 7.
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
    """Settings of the two sweeps; the fields of `train` are common to all trials."""

    epochs: int = 5
    side: int = recipe.field(4, "number of grid values per hyperparameter", least=2)


def main(config: Config) -> dict:
    """Run both sweeps and write the report.

    Args:
        config: Config.

    Returns:
        The metrics.

    Raises:
        Exception: As `tune.main` does. After an interruption, the same command resumes the run.
    """
    rules = {"fixed": "the number of trials of a grid is fixed"}
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
            f"Each search has {config.side**2} trials of {config.epochs} epochs, which start from "
            "the same weights. Each dot is a trial. The upper plots show validation accuracy "
            f"against the learning rate alone, of which the grid has only {config.side} values.",
            *(
                f"Best trial of {name} search: {one['val_accuracy']:.4f}, at learning rate "
                f"{one['values']['learning_rate']:.3g} and weight decay "
                f"{one['values']['weight_decay']:.3g}."
                for name, one in found.items()
            ),
            "One sample of random trials does not show which search is better; another --seed "
            "draws another sample.",
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
    """Return the config of one of the two searches."""
    own = {"workdir": str(path), "oracle": oracle, "trials": config.side**2, "stop": "none"}
    return recipe.as_config(tune.Config, config, **own)


def space(points, hp, config):
    """Search RANGES on a logarithmic scale: `points` grid values each, or with None any value."""
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
