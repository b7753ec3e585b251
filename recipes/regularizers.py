"""What each regularizer does: one net, data set and budget, with one of them at a time.

    cvcourse regularizers
    cvcourse regularizers --dataset=fashion_mnist --limit=6000 --batch_size=128 --learning_rate=0.1

Every row is judged at its last epoch, on the first training images too, which shows how far it
overfits; early_stopping alone is judged at its best epoch on validation. The test split is
evaluated at the very end, once a seed.
"""

import dataclasses
import functools
import json
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.distribution import STRATEGIES
from cvcourse.startup import import_tensorflow_quietly

RULES = {"free": ("workdir", "data_dir", "checkpoint_minutes"), "vouched": ("dataset",)}
AS_IN_TRAIN = (
    *("model", "model_args", "dataset", "data_dir", "limit", "epochs", "batch_size", "optimizer"),
    *("learning_rate", "schedule", "checkpoint_minutes", "strategy", "cpu_devices"),
)
BARE = {"augment": (), "weight_decay": 0.0, "dropout": 0.0}
REGULARIZERS = {  # row: the fields of `train` that are not those of BARE
    "weight_decay": {"weight_decay": 5e-4},  # Zagoruyko & Komodakis 2016, section 3
    "dropout": {"dropout": 0.3},  # before the logits, as Szegedy et al. 2015, table 1: 0.4
    "stochastic_depth": {"stochastic_depth": 0.2},  # Huang et al. 2016, section 4, take 0.5
    "label_smoothing": {"label_smoothing": 0.1},  # Szegedy et al. 2016, section 7
    "augmentation": {"augment": None},  # what is usual for the data set
    "cutout": {"augment": ("cutout",)},
    "mixup": {"augment": ("mixup",)},
    "cutmix": {"augment": ("cutmix",)},
    "ema": {"average": "ema"},
    "swa": {"average": "swa"},
    "early_stopping": {"patience": 5},
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared, and on what; the fields of `train` have its meaning."""

    regularizers: tuple[str, ...] = recipe.field(
        tuple(REGULARIZERS), "the rows, beside that of none", choices=tuple(REGULARIZERS)
    )
    model: str = recipe.field("resnet20", "a network of cvcourse.models.REGISTRY")
    model_args: dict = recipe.field({"depth": 8}, "its builder's knobs")
    dataset: str = recipe.field("digits", "as in train")
    data_dir: str | None = recipe.field(None, "where published data sets are looked for first")
    limit: int | None = recipe.field(
        300, "N examples of each split: few, so that they are learned by heart", least=1
    )
    epochs: int = recipe.field(30, "the budget of each row", least=1)
    batch_size: int = recipe.field(32, "examples a step", least=1)
    optimizer: str = recipe.field("nesterov", "update rule, as in train")
    learning_rate: float = recipe.field(0.05, "the highest of the run", above=0)
    schedule: str = recipe.field("cosine", "the learning rate's course, as in train")
    seeds: tuple[int, ...] = recipe.field((0, 1, 2), "of the repetitions", least=0, below=2**32)
    test: bool = recipe.field(True, "evaluate the test split at the end")
    strategy: str = recipe.field("auto", "as in train, in one process", choices=STRATEGIES)
    cpu_devices: int | None = recipe.field(None, "as in train", least=1)
    workdir: str | None = recipe.field(None, "the directory of it all; none: a fresh one in runs/")
    checkpoint_minutes: float = recipe.field(5.0, "between checkpoints inside an epoch", above=0)


def main(config):
    """Train what is missing, compare, report; returns what metrics.json holds.

    Raises UsageError for wrong values, before anything is written, and what `train.main` does.
    """
    config = recipe.check(config)
    with recipe.usage():
        require_different(config)
    if metrics := recipe.recognize(config, "regularizers", **RULES):
        print(f"{config.workdir} is finished: {json.dumps(metrics)}")
        return metrics

    import_tensorflow_quietly()
    from cvcourse import data, figures, regularization
    from cvcourse.training import comparison

    dataset = train.rehearse([*runs(config, pathlib.Path(), config.seeds[0]).values()])
    with recipe.claim(config, "regularizers", config.model, config.dataset, **RULES) as run:
        run.begin()
        folders = {seed: run.path / f"seed{seed}" for seed in config.seeds}
        trained = train.main_each(
            {
                f"seed {seed}, {name}": settings
                for seed, folder in folders.items()
                for name, settings in runs(config, folder, seed).items()
            },
            run.command,
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
                [*folders.values()],
                split,
                batches=batches,
                measures=regularization.calibration.measures,
                baseline="none",
            )
        return comparison.conclude(
            run.path,
            metrics={
                "rows": {
                    row: {
                        "settings": REGULARIZERS.get(row, {}),
                        **{name: judged[name][row] for name in judged},
                    }
                    for row in rows
                },
                "epochs": config.epochs,
                "seeds": [*config.seeds],
                "seconds": round(sum(metrics["seconds"] for metrics in trained.values()), 1),
            },
            title=f"Regularizers: {config.model} on {pathlib.Path(config.dataset).stem}",
            lead=[
                f"{config.epochs} epochs with one regularizer at a time; mean ± standard deviation "
                f"over {len(config.seeds)} seeds, each judged at the last epoch, early stopping at "
                "its best on validation data. gain: accuracy over that of none of the same seed."
            ],
            tables={f"On {name} data": table for name, table in judged.items()},
            figures={
                "Gain in accuracy over none": figures.accuracy_gains(
                    {name: rows for name, rows in judged.items() if name != "training"}
                )
            },
            config=dataclasses.asdict(run.config),
        )


def require_different(config):
    """Raise ValueError for seeds or rows that are missing or named twice."""
    if not config.seeds:
        raise ValueError("--seeds names one or more; received none")
    for name in ("regularizers", "seeds"):
        values = getattr(config, name)
        if len({*values}) < len(values):
            raise ValueError(f"--{name} names each once; received {values}")


def runs(config, folder, seed):
    """The training runs of a seed in its folder: {row: train.Config}."""
    shared = {name: getattr(config, name) for name in AS_IN_TRAIN}
    found = {}
    for row in ("none", *config.regularizers):
        settings = {"snapshots": 1, **REGULARIZERS.get(row, {})}
        if "patience" in settings:
            settings["snapshots"] = 0  # the best epoch counts
        found[row] = train.Config(
            **{**shared, **BARE, **settings}, seed=seed, workdir=str(folder / row), test=False
        )
    return found


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="regularizers", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
