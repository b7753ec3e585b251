"""Average the predictions of several minima that one training run visits: snapshot ensembles.

    cvcourse snapshot_ensemble
    cvcourse snapshot_ensemble --dataset=fashion_mnist --model=resnet20 --batch_size=128

Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017,
https://arxiv.org/abs/1704.00109, compared with other uses of the same number of epochs. Each row
of the table costs --epochs epochs of training:

single            last epoch of a network with --schedule; single_best: best epoch on validation
snapshot_mM       ends of M cycles of the shifted cosine (eq. 2), probabilities averaged
checkpoint_mM     M evenly spaced epochs of the single run (the paper's NoCycle)
independent_mM    M networks of one M-th of the epochs each (the paper's SingleCycle)
snapshot_weights_mM, checkpoint_weights_mM    one network with the mean of these networks' weights

Training and selection use training and validation data only. The test split is evaluated at the
end, once per seed, for all rows. The ensemble that is best on validation data is saved for the
first seed as ensemble.keras, a model from raw images to probabilities.
"""

import dataclasses
import functools
import math
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

USUAL_CYCLES = range(2, 7)


@dataclasses.dataclass(frozen=True)
class Config(
    recipe.WorkdirFields,
    recipe.DeviceFields,
    recipe.FitFields,
    recipe.DataFields,
    recipe.ModelFields,
):
    """Settings of the comparison; fields of `train` have the same meaning here."""

    augment: tuple[str, ...] | None = recipe.field(
        None, "random augmentations as in train, or none; auto: the usual ones of the dataset"
    )
    epochs: int = recipe.field(60, "number of epochs of each row", least=1)
    cycles: tuple[int, ...] | None = recipe.field(
        None,
        "numbers of cycles M to compare, divisors of --epochs; auto: those from 2 to 6",
        least=2,
        distinct=True,
    )
    last_m: int | None = recipe.field(
        None, "number of the last snapshots or checkpoints of M to average; none: all", least=1
    )
    learning_rate: float = recipe.field(0.05, "peak learning rate, alpha_0 of eq. 2", above=0)
    schedule: str = recipe.field(
        "cosine", "schedule of the single and independent networks", choices=("step", "cosine")
    )
    single_learning_rate: float | None = recipe.field(
        None, "peak learning rate of --schedule; none: --learning_rate", above=0
    )
    seeds: tuple[int, ...] = recipe.field(
        (0, 1, 2), "random seeds of the repetitions", least=0, below=2**28, distinct=True
    )
    test: bool = recipe.field(True, "evaluate on the test split at the end")

    def misfits(self):
        if not cycles_of(self):
            yield f"no number of cycles from 2 to 6 divides --epochs={self.epochs}"
        for m in cycles_of(self):
            if self.epochs % m:
                yield f"--cycles={m} does not divide --epochs={self.epochs}"
            if self.last_m and self.last_m > m:
                yield f"--last_m={self.last_m} exceeds the M={m} snapshots of a run"


def main(config: Config) -> dict:
    """Train the missing runs, compare, report; return the metrics and the path `workdir`."""
    config, metrics = recipe.begin(config, "snapshot_ensemble")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import data, figures, regularization, training
    from cvcourse.saved_model import read_model
    from cvcourse.training import comparison

    first = config.seeds[0]
    plain, cyclic, *_ = runs(config, pathlib.Path(), first).values()
    dataset = train.dry_run([plain, cyclic])
    with recipe.open_run(config, "snapshot_ensemble", config.model, config.dataset) as run:
        run.begin()
        folders, trained = recipe.run_seeds(
            train.main, run, config.seeds, functools.partial(runs, config)
        )
        for seed, folder in zip(config.seeds, folders, strict=True):
            write_averages(config, folder, seed, dataset)
        rows = members(config)
        stream = functools.partial(data.stream, batch_size=config.batch_size, seed=0)
        judge = functools.partial(
            comparison.judge,
            rows,
            folders,
            batches=functools.partial(stream, shuffle=False),
            measures=regularization.calibration.measures,
            baseline="single",
        )
        answers, validation = judge(dataset.validation)
        several = [row for row, files in rows.items() if len(files) > 1]
        chosen = {
            "ensemble": comparison.best(validation, several),
            "snapshot": comparison.best(validation, [f"snapshot_m{m}" for m in cycles_of(config)]),
        }
        splits = {"validation": validation}
        if config.test and dataset.test:
            _, splits["test"] = judge(dataset.test)
        nets = [read_model(folders[0] / file) for file in rows[chosen["ensemble"]]]
        training.save_model(
            regularization.ensemble(nets),
            run.path / "ensemble.keras",
            dataset.class_names,
            from_logits=False,
        )
        reliability = regularization.calibration.reliability_of_mean
        labels = dataset.validation.labels
        first_k = {
            str(m): regularization.errors_of_first_k(
                [[given[file] for file in rows[f"snapshot_m{m}"]] for given in answers], labels
            )
            for m in cycles_of(config)
        }
        return comparison.write_comparison(
            run.path,
            metrics={
                "rows": {
                    row: {"members": len(files), **{split: splits[split][row] for split in splits}}
                    for row, files in rows.items()
                },
                "chosen": chosen,
                "validation_error_of_first_k": first_k,
                "epochs": config.epochs,
                "seeds": [*config.seeds],
                "parameters": trained[0]["parameters"],
                "seconds": round(sum(metrics["seconds"] for metrics in trained), 1),
            },
            title=f"Snapshot ensembles: {config.model} on {pathlib.Path(config.dataset).stem}",
            lead=lead_paragraphs(config, chosen, splits),
            tables={f"On {split} data": splits[split] for split in splits},
            figures={
                "Error by M": figures.ensemble_errors(cycles_of(config), splits),
                "Validation error of the first k snapshots": figures.first_snapshots(first_k),
                f"Learning rate and loss of seed {first}": cycles_figure(config, folders[0]),
                f"Reliability on validation data, seed {first}": figures.reliability_diagram(
                    {
                        row: reliability([answers[0][file] for file in rows[row]], labels)
                        for row in ("single", *chosen.values())
                    }
                ),
            },
            config=dataclasses.asdict(run.config),
        )


def cycles_of(config):
    """Return the numbers of cycles M to compare."""
    if config.cycles is None:
        return tuple(m for m in USUAL_CYCLES if config.epochs % m == 0)
    return config.cycles


def runs(config, folder, seed):
    """Return the training runs of a seed in its folder: {name: train.Config}."""
    plain = {
        "schedule": config.schedule,
        "learning_rate": config.single_learning_rate or config.learning_rate,
        "cycles": None,
    }
    cyclic = {"schedule": "shifted_cosine", "learning_rate": config.learning_rate}
    own = {"single": {**plain, "snapshots": math.lcm(*cycles_of(config))}}
    for m in cycles_of(config):
        own[f"snapshot_m{m}"] = {**cyclic, "cycles": m, "snapshots": m}
        for i in range(m):
            own[f"independent_m{m}_{i + 1}"] = {
                **plain,
                "epochs": config.epochs // m,
                "snapshots": 1,
                "seed": seed * m + i,  # different for all networks of an M
            }
    return {
        name: recipe.as_config(
            train.Config,
            config,
            **{"seed": seed, "workdir": str(folder / name), "test": False, **settings},
        )
        for name, settings in own.items()
    }


def members(config):
    """Return the saved models that each row averages, in a seed's folder: {row: files}."""
    found = {
        "single": [f"single/snapshots/{config.epochs}.keras"],
        "single_best": ["single/model.keras"],
    }
    for m in cycles_of(config):
        found[f"snapshot_m{m}"] = evenly_spaced(config, f"snapshot_m{m}", m)
        found[f"checkpoint_m{m}"] = evenly_spaced(config, "single", m)
        found[f"independent_m{m}"] = [
            f"independent_m{m}_{i + 1}/snapshots/{config.epochs // m}.keras" for i in range(m)
        ]
        for kind in ("snapshot", "checkpoint"):
            found[f"{kind}_weights_m{m}"] = [f"averages/{kind}_m{m}.keras"]
    return found


def evenly_spaced(config, run, m):
    """Return the files of the last --last_m of m evenly spaced snapshots of a run."""
    epochs = [config.epochs * (i + 1) // m for i in range(m)]
    return [f"{run}/snapshots/{epoch}.keras" for epoch in epochs[-(config.last_m or m) :]]


def write_averages(config, folder, seed, dataset):
    """Save the mean weights of snapshots and checkpoints, unless they exist."""
    from cvcourse import data, regularization, training

    setting = train.resolve(config, dataset)
    batch_size, augment = setting.batch_size, setting.augment
    images = data.stream(dataset.train, batch_size=batch_size, seed=seed, augment=augment)
    images = images.take(
        max(1, min(len(dataset.train), regularization.IMAGES_FOR_BATCH_NORM) // batch_size)
    )
    rows = members(config)
    for row, (file, *_) in rows.items():
        if file.startswith("averages/") and not (folder / file).exists():
            files = [folder / member for member in rows[row.replace("_weights", "")]]
            net = regularization.average_saved(files, images)
            training.save_model(net, folder / file, dataset.class_names)


def lead_paragraphs(config, chosen, splits):
    """Yield the first paragraphs of the report."""
    gains = [
        f"{100 * splits[split][chosen['snapshot']]['gain']['mean']:+.2f} points on {split} data"
        for split in splits
    ]
    count = len(config.seeds)
    seeds = "one seed" if count == 1 else f"mean ± standard deviation over {count} seeds"
    yield (
        f"Every row costs {config.epochs} epochs of training; {seeds}. snapshot: the ends of M "
        "cycles of the shifted cosine; checkpoint: M evenly spaced epochs of the single run; "
        "independent: M networks trained for one M-th of the epochs each; weights: one network "
        "with the mean of these networks' weights. gain: accuracy minus the accuracy of the single "
        "network's last epoch with the same seed."
    )
    yield (
        f"Best snapshot ensemble on validation data: {chosen['snapshot']}, gain "
        f"{' and '.join(gains)}. Best of all ensembles on validation data, saved as "
        f"ensemble.keras: {chosen['ensemble']}. The test data were not used for selection."
    )


def cycles_figure(config, folder):
    """Draw learning rate and loss of the run with the most cycles and of the single run."""
    from cvcourse import figures, optimization, training

    m = max(cycles_of(config))
    compared = {name: runs(config, folder, 0)[name] for name in (f"snapshot_m{m}", "single")}
    return figures.cyclic_runs(
        {name: optimization.sampled_schedule(settings) for name, settings in compared.items()},
        {name: training.read_history(folder / name) for name in compared},
        range(config.epochs // m, config.epochs + 1, config.epochs // m),
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
