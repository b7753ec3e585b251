"""Compare regularizers on one network, dataset and budget, one at a time.

    cvcourse regularizers
    cvcourse regularizers --dataset=fashion_mnist --limit=6000 --batch_size=128 --learning_rate=0.1

Every row is evaluated at its last epoch, except for early_stopping, which is evaluated at its best
epoch on validation data. The accuracy on the first training images shows how much a row overfits.
The test split is evaluated at the end, once per seed.
"""

import dataclasses
import functools
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

BARE = {"augment": (), "weight_decay": 0.0, "dropout": 0.0}
REGULARIZERS = {  # row: the fields of `train` that differ from BARE
    "weight_decay": {"weight_decay": 5e-4},  # Zagoruyko & Komodakis 2016, section 3; --weight_decay
    "dropout": {"dropout": 0.3},  # before the logits, as Szegedy et al. 2015, table 1: 0.4
    "stochastic_depth": {"stochastic_depth": 0.2},  # Huang et al. 2016, section 4, take 0.5
    "label_smoothing": {"label_smoothing": 0.1},  # Szegedy et al. 2016, section 7
    "augmentation": {"augment": None},  # the dataset's usual one
    "cutout": {"augment": ("cutout",)},
    "mixup": {"augment": ("mixup",)},
    "cutmix": {"augment": ("cutmix",)},
    "ema": {"average": "ema"},
    "swa": {"average": "swa"},
    "early_stopping": {"patience": 5},
}


@dataclasses.dataclass(frozen=True)
class Config(
    recipe.WorkdirFields,
    recipe.DeviceFields,
    recipe.ScheduleFields,
    recipe.FitFields,
    recipe.DataFields,
    recipe.ModelFields,
):
    """Settings of the comparison; fields of `train` have the same meaning here."""

    regularizers: tuple[str, ...] = recipe.field(
        tuple(REGULARIZERS),
        "regularizers to compare with none",
        choices=tuple(REGULARIZERS),
        distinct=True,
    )
    model: str = "resnet20"
    model_args: dict = recipe.field({"depth": 8}, "arguments of the model's builder")
    limit: int | None = 300  # few, so that they are memorized
    weight_decay: float = recipe.field(
        REGULARIZERS["weight_decay"]["weight_decay"],
        "weight decay of kernels, in the row weight_decay",
        least=0,
    )
    seeds: tuple[int, ...] = recipe.field(
        (0, 1, 2), "random seeds of the repetitions", least=0, below=2**32, distinct=True
    )
    test: bool = recipe.field(True, "evaluate on the test split at the end")


def main(config: Config) -> dict:
    """Train the missing runs, compare them, and write the report.

    Args:
        config: Config.

    Returns:
        The metrics.
    """
    config, metrics = recipe.begin(config, "regularizers")
    if metrics:
        return metrics

    import_tensorflow_quietly()
    from cvcourse import data, figures, regularization
    from cvcourse.training import comparison

    dataset = train.dry_run([*runs(config, pathlib.Path(), config.seeds[0]).values()])
    with recipe.open_run(config, "regularizers", config.model, config.dataset) as run:
        run.begin()
        folders, trained = recipe.run_seeds(
            train.main, run, config.seeds, functools.partial(runs, config)
        )
        last = f"snapshots/{config.epochs}.keras"
        rows = {
            name: [f"{name}/{last if settings.snapshots else 'model.keras'}"]
            for name, settings in runs(config, pathlib.Path(), 0).items()
        }
        splits = {
            "training": dataset.train.take(slice(len(dataset.validation))),
            "validation": dataset.validation,
        }
        if config.test and dataset.test:
            splits["test"] = dataset.test
        batches = functools.partial(
            data.stream, batch_size=config.batch_size, seed=0, shuffle=False
        )
        judged = {}
        for name, split in splits.items():
            _, judged[name] = comparison.judge(
                rows,
                folders,
                split,
                batches=batches,
                measures=regularization.calibration.measures,
                baseline="none",
            )
        count = len(config.seeds)
        repetitions = f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed"
        return comparison.write_comparison(
            run.path,
            metrics={
                "rows": {
                    row: {
                        "settings": settings_of(config, row),
                        **{name: judged[name][row] for name in judged},
                    }
                    for row in rows
                },
                "epochs": config.epochs,
                "seeds": [*config.seeds],
                "seconds": round(sum(metrics["seconds"] for metrics in trained), 1),
            },
            title=f"Regularizers: {config.model} on {pathlib.Path(config.dataset).stem}",
            lead=[
                f"{config.epochs} epochs with one regularizer at a time; {repetitions}. Rows are "
                "evaluated at the last epoch, early stopping at its best epoch on validation data. "
                "gain: accuracy minus the accuracy of the row none with the same seed."
            ],
            tables={f"On {name} data": table for name, table in judged.items()},
            figures={
                "Gain in accuracy over none": figures.accuracy_gains(
                    {name: rows for name, rows in judged.items() if name != "training"}
                )
            },
            config=dataclasses.asdict(run.config),
        )


def settings_of(config, row):
    """Return the fields of `train` that differ from BARE in a row: {name: value}."""
    own = {"weight_decay": config.weight_decay} if row == "weight_decay" else {}
    return REGULARIZERS.get(row, {}) | own


def runs(config, folder, seed):
    """Return the training runs of a seed in its folder: {row: train.Config}."""
    found = {}
    for row in ("none", *config.regularizers):
        settings = BARE | {"snapshots": 1} | settings_of(config, row)
        if "patience" in settings:
            settings["snapshots"] = 0  # the best epoch counts
        own = {"seed": seed, "workdir": str(folder / row), "test": False}
        found[row] = recipe.as_config(train.Config, config, **settings, **own)
    return found


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
