"""Prune the filters of a network, and compare fine-tuning with training from scratch.

    cvcourse filter_pruning --dataset=cifar10 --limit=5000
    cvcourse filter_pruning --source=runs/train/digits --keep=0.3 --criterion=l2

Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, https://arxiv.org/abs/1608.08710;
Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019, https://arxiv.org/abs/1810.05270.
The table has these rows; the mean over seeds:

dense         the trained network
zeroed        the network with the chosen filters set to zero; it is not smaller
fine_tuned    the network without these filters, trained for --fine_tune_epochs more epochs
scratch       its architecture, trained from random weights with as many multiply-accumulates as
              training and fine-tuning (Scratch-B in section 3 of Liu et al.)

model.keras is the fine-tuned network of the first seed.
"""

import dataclasses
import math
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.files import read_json
from cvcourse.startup import import_tensorflow_quietly

SPLITS = {"test": "test_accuracy", "validation": "val_accuracy"}
MEASURED = (*SPLITS.values(), "seconds")  # different for each seed


@dataclasses.dataclass(frozen=True)
class Config(recipe.SeedsFields, recipe.SourceFields):
    """Settings of pruning and training; fields of `train` have the same meaning here."""

    model: str = "resnet20"
    batch_size: int = 128
    keep: float = recipe.field(
        0.5, "fraction of the filters of a layer that stays", above=0, below=1
    )
    criterion: str = recipe.field(
        "l1", "importance of a filter: norm of its weights", choices=("l1", "l2", "random")
    )
    tied: bool = recipe.field(
        False,
        "also prune filters that sums or products tie to those of other layers; false: only the "
        "inner convolutions of a residual block, as Li et al. 2017",
    )
    skip: tuple[str, ...] = recipe.field((), "layers that keep all filters")
    fine_tune_epochs: int = recipe.field(10, "number of epochs of fine-tuning", least=1)
    fine_tune_learning_rate: float = recipe.field(
        0.01, "peak learning rate of fine-tuning", above=0
    )
    scratch: bool = recipe.field(True, "also train the smaller network from random weights")


def main(config: Config) -> dict:
    """Train, prune, fine-tune and train from scratch what is missing, and write the report.

    Args:
        config: Config.

    Returns:
        The contents of metrics.json, with the path of model.keras.

    Raises:
        UsageError: For a wrong name or value, and if no filter can be removed.
        RunError: If data or the source cannot be read, or a file cannot be written.
    """
    from cvcourse import fine_tuning

    config = fine_tuning.resolve(recipe.check(config), "cifar10")
    config, metrics = recipe.begin(config, "filter_pruning")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import figures
    from cvcourse.training import comparison

    with recipe.open_run(config, "filter_pruning", config.model, config.dataset) as run:
        run.begin()
        by_seed = [compare(run, seed) for seed in config.all_seeds]
        rows = {
            name: {
                key: comparison.mean_and_std(
                    one[name][key] for one in (by_seed if key in MEASURED else by_seed[:1])
                )
                for key in row
            }
            for name, row in by_seed[0].items()
        }
        splits = {split: key for split, key in SPLITS.items() if rows["dense"][key]}
        gains = {
            split: comparison.mean_and_std(
                one["fine_tuned"][key] - one["scratch"][key] for one in by_seed
            )
            for split, key in splits.items()
            if config.scratch
        }
        seconds = [row["seconds"] or 0 for one in by_seed for row in one.values()]
        return comparison.write_comparison(
            run.path,
            metrics={
                "rows": rows,
                "fine_tuned_minus_scratch": gains,
                "limit": config.limit,
                "seeds": [*config.all_seeds],
                "seconds": round(sum(seconds), 1),
            },
            title=f"Filter pruning: {config.model} on {pathlib.Path(config.dataset).stem}",
            lead=[*sentences(config, rows, gains)],
            tables={"Networks": rows},
            figures={
                "Accuracy by seed": figures.accuracy_by_seed(
                    {
                        split: {name: rows[name][key]["seeds"] for name in rows if name != "zeroed"}
                        for split, key in splits.items()
                    }
                )
            },
            config=dataclasses.asdict(run.config),
        )


def compare(run, seed):
    """Return the rows of a seed, {name: {measure: number}}; finished trainings are restored."""
    import keras

    from cvcourse import compression, fine_tuning, training

    config = run.config
    part = run.inside(f"seed{seed}")
    own = dataclasses.replace(config, seed=seed, workdir=str(part.path))
    part = dataclasses.replace(part, config=own)
    print(f"\nseed {seed}", flush=True)
    with recipe.subrun(f"seed {seed}", run.command):
        dense = fine_tuning.load(own, part, train, check=lambda net: require_filters(config, net))
        part.begin()
        dataset, model = dense.dataset, dense.model
        chosen = {"criterion": config.criterion, "skip": skipped(config, model), "seed": seed}
        keras.utils.set_random_seed(seed)
        pruned = compression.prune_filters(model, config.keep, **chosen)
        zeroed = compression.zero_filters(model, config.keep, **chosen)
        images = math.prod(fine_tuning.batches_of(config, dataset))
        macs, fewer = map(fine_tuning.count_macs, (model, pruned))

        def row(net, epochs, training_macs, seconds=None):
            accuracies = [split and split.accuracy for split in fine_tuning.evaluate(net, dataset)]
            return {
                "val_accuracy": accuracies[0],
                "test_accuracy": accuracies[1],
                "parameters": net.count_params(),
                "macs": fine_tuning.count_macs(net),
                "epochs": epochs,
                "training_macs": training_macs,
                "seconds": seconds,
            }

        def trained(net, name, epochs, before=0, **settings):
            resume = fine_tuning.fine_tune(net, part, name, dataset, epochs=epochs, **settings)
            seconds = round(resume.total_seconds(), 1)
            return row(net, epochs, before + epochs * images * fewer, seconds)

        epochs, seconds = trained_before(config, dense.path)
        rows = {"dense": row(model, epochs, epochs * images * macs, seconds)}
        rows["zeroed"] = row(zeroed, 0, rows["dense"]["training_macs"])
        rate = config.fine_tune_learning_rate
        before = rows["dense"]["training_macs"]
        rows["fine_tuned"] = trained(
            pruned, "fine_tuned", config.fine_tune_epochs, before, learning_rate=rate
        )
        if seed == config.all_seeds[0]:
            training.save_model(pruned, run.path / "model.keras", dense.class_names)
        if config.scratch:
            keras.utils.set_random_seed(seed)
            net = keras.Model.from_config(pruned.get_config())  # with new weights
            budget = rows["fine_tuned"]["training_macs"]
            epochs = max(1, round(budget / (images * fewer)))
            rows["scratch"] = trained(net, "scratch", epochs, warmup_epochs=config.warmup_epochs)
        return rows


def skipped(config, model):
    """Return the names of the layers that keep all filters."""
    from cvcourse.compression.filter_pruning import tied_layers

    tied = [] if config.tied else tied_layers(model, skip=config.skip)
    return (*config.skip, *(layer for layer in tied if layer not in config.skip))


def require_filters(config, model):
    """Raise ValueError for a network without filters that can be removed."""
    from cvcourse import compression

    groups = compression.filter_groups(model, skip=skipped(config, model))
    if not any(group.prunable for group in groups):
        hint = "" if config.tied else "; --tied also removes those that sums tie together"
        raise ValueError(f"{config.model} has no filters that can be removed{hint}")


def trained_before(config, path):
    """Return epochs and seconds of the dense training; --epochs if its run is not known."""
    metrics = path.parent / "metrics.json"
    found = read_json(metrics) if metrics.is_file() else {}
    if "epochs" not in found:
        print(f"{path}: unknown number of epochs; --epochs={config.epochs} assumed", flush=True)
    return found.get("epochs", config.epochs), found.get("seconds")


def sentences(config, rows, gains):
    """Yield sentences about the setting and the result."""
    dense, small = rows["dense"], rows["fine_tuned"]
    shares = [
        f"{100 * small[key]['mean'] / dense[key]['mean']:.1f} % of the {name}"
        for key, name in (("parameters", "parameters"), ("macs", "multiply-accumulates"))
    ]
    way = "at random" if config.criterion == "random" else f"by the largest {config.criterion} norm"
    yield (
        f"{100 * config.keep:g} % of the filters stay, chosen {way}: {' and '.join(shares)}. "
        f"Images of each split: {f'at most {config.limit:,}' if config.limit else 'all'}. Seeds: "
        f"{', '.join(map(str, config.all_seeds))}. Fine-tuned networks and those trained from "
        "scratch are evaluated at the last epoch, dense ones at the best on validation data."
    )
    split, key = next((split, key) for split, key in SPLITS.items() if dense[key])
    removed, after = (
        f"{100 * (rows[name][key]['mean'] - dense[key]['mean']):+z.2f} points"
        for name in ("zeroed", "fine_tuned")
    )
    yield (
        f"{split.capitalize()} accuracy minus that of the dense network: {removed} without the "
        f"filters, {after} after fine-tuning."
    )
    for split, gain in gains.items():
        yield f"On {split} data, {verdict(gain)}"


def verdict(gain):
    """Return whether fine-tuning is better than training from scratch, by the seeds' spread."""
    mean, std = 100 * gain["mean"], gain["std"]
    if std is None:
        return (
            f"fine-tuning minus training from scratch: {mean:+z.2f} points; one seed cannot tell "
            "which is better."
        )
    spread = f"by {abs(mean):.2f} ± {100 * std:.2f} points of accuracy"
    if abs(mean) <= 100 * std:
        return (
            f"neither is better: fine-tuning and training from scratch differ {spread}, which the "
            "seeds explain."
        )
    better = "fine-tuning beats training from scratch"
    worse = "training from scratch beats fine-tuning"
    return f"{better if mean > 0 else worse} {spread}."


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
