"""Compress a network to a small file: prune it, share its weights, code them.

    cvcourse compress
    cvcourse compress --model=lenet5_caffe --curve=0.04,0.02
    cvcourse compress --source=runs/train/x --density=0.1 --bits=conv:8,dense:4

Deep Compression: Han, Mao & Dally, ICLR 2016, https://arxiv.org/abs/1510.00149. The network of
--source, or one that is trained first, is pruned while it is trained further, then the weights of
each layer are clustered, the centroids are trained, and all is written to model.cvz with Huffman
codes. The test error of the last stage is that of the network read from model.cvz; model.keras is
this network, with its usual layers.

The file is smaller on disk and on its way to a device. The network that is read from it needs the
memory and the time of the one before; `cvcourse filter_pruning` makes networks faster.

--curve compresses the same dense network to further densities. --seeds repeats all with several
seeds, and the report has the means.
"""

import dataclasses
import gzip
import io
import lzma
import sys
import time

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

LENET = {
    **{"augment": (), "density": 0.08, "bits": "4", "share_epochs": 2},
    "share_learning_rate": 3e-4,
}
SETTINGS = {  # network: its defaults, chosen by the validation error of a few runs
    "lenet_300_100": {**LENET, "epochs": 12, "prune_epochs": 20, "prune_learning_rate": 0.05},
    "lenet5_caffe": {**LENET, "epochs": 8, "learning_rate": 0.02, "prune_epochs": 10},
    "vgg16_cifar": {
        **{"dataset": "cifar10", "optimizer": "adam", "weight_decay": 0.0, "learning_rate": 1e-3},
        **{"epochs": 20, "prune_epochs": 10, "prune_learning_rate": 3e-4},
        **{"density": 0.1, "bits": "5"},
    },
}
USUAL = {  # defaults of other networks, and of fields that SETTINGS leaves out
    **{"dataset": "mnist", "batch_size": 128, "optimizer": "nesterov", "weight_decay": 5e-4},
    **{"learning_rate": 0.05, "epochs": 30},
    **{"prune_learning_rate": 0.02, "prune_epochs": 15, "density": 0.1, "bits": "conv:6,dense:4"},
    **{"share_learning_rate": 1e-4, "share_epochs": 1},
}
TABLES = ("stages", "curve")


@dataclasses.dataclass(frozen=True)
class Config(recipe.SeedsFields, recipe.SourceFields):
    """Settings. Fields that are None get the value in SETTINGS for the network, or in USUAL."""

    model: str = "lenet_300_100"
    density: float | None = recipe.field(
        None, "share of the weights of convolutions and dense layers to keep", above=0
    )
    bits: str | None = recipe.field(
        None, "bits of the index of a shared weight, 1 to 8, such as 4 or conv:8,dense:4"
    )
    init: str = recipe.field(
        "linear", "first centroids of the clustering", choices=("linear", "density", "random")
    )
    augment: tuple[str, ...] | None = recipe.field(
        None, "random augmentations as in train, or none; auto: the network's"
    )
    epochs: int | None = None
    prune_epochs: int | None = recipe.field(
        None, "number of epochs of pruning; 0 prunes at once, without training", least=0
    )
    share_epochs: int | None = recipe.field(
        None, "number of epochs in which the shared weights are trained", least=0
    )
    batch_size: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    prune_learning_rate: float | None = recipe.field(
        None, "peak learning rate while pruning", above=0
    )
    share_learning_rate: float | None = recipe.field(
        None, "peak learning rate of the shared weights", above=0
    )
    weight_decay: float | None = None
    curve: tuple[float, ...] = recipe.field(
        (), "further densities to which the dense network is compressed", above=0
    )
    seeds: tuple[int, ...] | None = None

    def misfits(self):
        for name, value in [("density", self.density), *(("curve", value) for value in self.curve)]:
            if value is not None and value > 1:
                yield f"--{name} must be above 0 and at most 1; received {value:g}"
        try:
            bits_of(self.bits or "4")
        except ValueError:
            yield f"--bits expects 1 to 8, or conv:BITS,dense:BITS; received {self.bits!r}"


def main(config: Config) -> dict:
    """Compress a network, write it, and report the size and the error after each stage.

    Args:
        config: Config.

    Returns:
        The metrics, with `stages`, a list of dicts.

    Raises:
        UsageError: For a wrong value, or a network without convolutions and dense layers.
        RunError: If a file or the dataset cannot be read.
    """
    from cvcourse import fine_tuning

    config = recipe.check(config)
    usual = usual_settings(config.model)["dataset"]
    config = with_settings(fine_tuning.resolve(config, usual))
    config, metrics = recipe.begin(config, "compress", shown=lambda found: found["stages"])
    if metrics:
        return metrics
    import_tensorflow_quietly()
    with recipe.open_run(config, "compress", config.model, config.dataset) as run:
        run.begin()
        return one_run(run) if config.seeds is None else several_runs(run)


def usual_settings(network):
    """Return the defaults of a network."""
    return USUAL | SETTINGS.get(network, {})


def with_settings(config):
    """Replace the values that are None by the network's defaults."""
    usual = usual_settings(config.model).items()
    unset = {name: value for name, value in usual if getattr(config, name) is None}
    return dataclasses.replace(config, **unset)


def bits_of(text):
    """Parse `--bits`: int, or {"conv": int, "dense": int}. Raises ValueError."""
    pairs = [part.split(":") for part in text.split(",")]
    bits = {kind: int(number) for kind, number in pairs} if ":" in text else {"": int(text)}
    # Both kinds, since pruned weights that are not shared would be trained, too.
    if {*bits} not in ({""}, {"conv", "dense"}) or not all(1 <= n <= 8 for n in bits.values()):
        raise ValueError
    return bits.get("", bits)


def one_run(run):
    """Compress one network to each density; return the metrics."""
    import numpy as np

    from cvcourse import data, fine_tuning, training
    from cvcourse.compression.kernels import kernels
    from cvcourse.files import read_json
    from cvcourse.training import compression_report

    config = run.config
    trained = fine_tuning.load(config, run, train, check=kernels)
    results, size = trained.path.with_name("metrics.json"), 4 * trained.model.count_params()
    seconds = read_json(results).get("seconds", 0) if results.is_file() else 0
    with data.report_corrupt_images(trained.dataset):
        dense = stage("dense", trained, trained.model, size, size, bits=32, seconds=seconds)
        points = {
            density: compressed(run, trained, density, size)
            for density in dict.fromkeys((config.density, *config.curve))
        }
    rows, pruned, decoded, sizes = points[config.density]
    training.save_model(decoded, run.path / "model.keras", trained.class_names)
    arrays = io.BytesIO()
    np.savez(arrays, *pruned.get_weights())
    stages = [dense, *(row for rows, *_ in points.values() for row in rows)]
    curve = [rows[-1] for rows, *_ in points.values()]
    return compression_report.write_compression(
        run.path,
        metrics={
            "stages": [dense, *rows],
            "curve": curve,
            "gzip_bytes": len(gzip.compress(arrays.getvalue(), 9)),
            "xz_bytes": len(lzma.compress(arrays.getvalue())),
            "keras_bytes": (run.path / "model.keras").stat().st_size,
            "tensors": [{**dataclasses.asdict(row), "shape": [*row.shape]} for row in sizes],
            "parameters": size // 4,
            "seed": config.seed,
            "seconds": round(sum(row["seconds"] for row in stages), 1),
        },
        curve={"this run": curve},
        config=config,
        sections=[
            compression_report.tensor_section(sizes, rows[-1]["bytes"], config.model),
            compression_report.weight_section(trained.model, pruned, decoded),
        ],
    )


def compressed(run, trained, density, size):
    """Prune a network to a density, share its weights, write it and read it again.

    Returns:
        A tuple: the rows of the stages, the pruned model, the model that was read, and the Sizes.
    """
    from cvcourse import compression, fine_tuning
    from cvcourse.compression import compressed_file
    from cvcourse.training.compression_report import gap_coded_bytes

    config = run.config
    name = "model" if density == config.density else f"model_{density:g}"
    path = run.path / f"{name}.cvz"
    pruned, pruning = prune(run, trained, density)
    total = sum(gap_coded_bytes(array) for array in pruned.get_weights())
    rows = [stage("pruned", trained, pruned, total, size, bits=32, seconds=pruning)]

    shared = compression.share_weights(
        pruned, bits_of(config.bits), init=config.init, seed=config.seed
    )
    sharing = 0.0
    if config.share_epochs:
        settings = {"epochs": config.share_epochs, "learning_rate": config.share_learning_rate}
        settings["optimizer"] = "adam"  # the gradient of a centroid is a sum over many weights
        name = f"shared_{density:g}"
        tuned = fine_tuning.fine_tune(shared, run, name, trained.dataset, **settings)
        sharing = tuned.total_seconds()
    begun = time.monotonic()
    total = compressed_file.write(shared, path, class_names=trained.class_names)
    writing = time.monotonic() - begun
    decoded, sizes = compressed_file.read(path), compressed_file.sizes(path)
    uncoded = total + sum(  # the file without Huffman codes
        row.codebook_bytes + gap_coded_bytes(array, row.codebook_bytes // 4 or None) - row.bytes
        for row, array in zip(sizes, decoded.get_weights(), strict=True)
    )
    kept = {row: row.kept for row in sizes if row.coding != "raw"}

    def mean_bits(name):
        bits = sum(count * getattr(row, name) for row, count in kept.items())
        return round(bits / max(sum(kept.values()), 1), 3)

    for name, model, bytes, bits, seconds in (
        ("shared", shared, uncoded, mean_bits("bits"), sharing),
        ("huffman", decoded, total, mean_bits("value_bits"), writing),
    ):
        rows.append(stage(name, trained, model, bytes, size, bits=bits, seconds=seconds))
    return rows, pruned, decoded, sizes


def prune(run, trained, density):
    """Prune a copy of the network while it is trained; return it and the seconds."""
    from cvcourse import compression, fine_tuning
    from cvcourse.compression import surgery

    config = run.config
    if not config.prune_epochs:
        return compression.prune(trained.model, density), 0.0
    model = surgery.replaced(trained.model)
    settings = {"epochs": config.prune_epochs, "learning_rate": config.prune_learning_rate}
    name = f"pruned_{density:g}"
    pruning = fine_tuning.prune(model, run, name, trained.dataset, density, **settings)
    return model, pruning.total_seconds()


def stage(name, trained, model, total, size, *, bits, seconds):
    """Evaluate the model of a stage, and print its line; return its row of metrics.json."""
    from cvcourse import compression, fine_tuning

    validation, test = fine_tuning.evaluate(model, trained.dataset)
    kernels = compression.density(model)
    row = {
        "stage": name,
        "bytes": total,
        "ratio": round(size / total, 3),
        "test_error": test and round(100 - 100 * test.accuracy, 4),
        "val_error": round(100 - 100 * validation.accuracy, 4),
        "density": sum(row.kept for row in kernels) / sum(row.weights for row in kernels),
        "bits": bits,
        "seconds": round(seconds, 1),
    }
    error = f"{row['test_error']:.2f} %" if test else f"{row['val_error']:.2f} % (validation)"
    share = f"density {row['density']:.4f}, {bits:g} bits"
    print(f"{name}: {total:,} bytes, {row['ratio']:.1f}x, error {error}, {share}", flush=True)
    return row


def several_runs(run):
    """Compress with each seed; return the metrics, with the means."""
    from cvcourse.training import compression_report

    config = run.config
    runs = recipe.run_each_seed(main, run)
    tables = {name: {key: found[key] for key in TABLES} for name, found in runs.items()}
    return compression_report.write_compression(
        run.path,
        metrics={
            **{
                key: compression_report.means([table[key] for table in tables.values()])
                for key in TABLES
            },
            "runs": tables,
            "seeds": [*config.seeds],
            "parameters": min(found["parameters"] for found in runs.values()),
            "seconds": round(sum(found["seconds"] for found in runs.values()), 1),
        },
        curve={name: table["curve"] for name, table in tables.items()},
        config=config,
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
