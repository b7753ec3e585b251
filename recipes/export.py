"""Export a network for other runtimes, check each file, and compare them in one table.

    cvcourse export --source=runs/train/x
    cvcourse export --source=runs/train/x --targets=litert_int8,openvino_int8 --measure
    cvcourse export --source=mobilenet --model_args=width=0.25 --dataset=photos/ --measure

The run directory has a file for each target, and run_TARGET.py, which classifies image files with
NumPy, Pillow and that runtime alone. Each file is run in a process without Keras and compared with
Keras; a file that differs is deleted. targets.json describes the files.

The images that set the ranges of 8 bits are drawn from the training split of the run's dataset. For
published weights they are drawn from --dataset, and the others are classified. --measure adds the
accuracy, and the time and memory of processes that take turns.

Install the runtimes with pip install cvcourse[litert,onnx,openvino].
"""

import contextlib
import dataclasses
import os
import sys
import time
from functools import partial

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly, standard_error_closed

TARGETS = (
    *("saved_model", "litert", "litert_fp16", "litert_dynamic", "litert_int8"),
    *("onnx", "onnx_int8", "openvino", "openvino_int8"),
)
BATCHES = (1, 32)  # sizes whose time is measured
CALLS = {1: 20, 32: 2}  # of a turn
MEBIBYTE = 2**20
FILE_NOTES = (
    "Difference: the largest of the outputs to those of Keras, as a share of the largest output, "
    "for batches of 1 and 5. Agreement: share of images whose likeliest class is that of Keras.",
)
SPEED_NOTES = (
    "Each file is in a process of its own; the processes take turns. Milliseconds of a batch: "
    "median, with its share of the largest, and quartiles. Memory: peak of the process above that "
    "after the import of its runtime.",
    "float16 halves the file; most CPUs compute with float32 all the same.",
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields, recipe.WeightsFields):
    """The network, the targets and the images."""

    source: str = recipe.field(
        "", "run directory, .keras or .cvz file, or network with published weights"
    )
    model_args: dict = recipe.field(
        {}, "arguments of a published network's builder, such as width=0.25"
    )
    targets: tuple[str, ...] = recipe.field(
        ("litert",), "forms of the network", choices=TARGETS, distinct=True
    )
    dataset: str | None = recipe.field(
        None, "dataset of the images; auto: that of the run", vouched=True
    )
    data_dir: str | None = recipe.field(
        None, "folder searched first for published datasets", free=True
    )
    calibrate: int = recipe.field(
        100, "number of images that set the ranges of 8-bit activations", least=10
    )
    limit: int | None = recipe.field(None, "number of images to classify; none: all", least=1)
    measure: bool = recipe.field(False, "measure accuracy, time and memory")
    rounds: int = recipe.field(7, "number of turns in which time is measured", least=1)

    def misfits(self):
        if not self.source:
            yield "no network to export: cvcourse export --source=runs/train/x"


def main(config: Config) -> dict:
    """Write the files, check them, and report.

    Args:
        config: Config.

    Returns:
        The metrics: `targets` has the rows of targets.json.

    Raises:
        UsageError: For a wrong value, a missing package, or a network that cannot be exported.
        RunError: If a file cannot be read or written, or a target cannot represent the network.
    """
    config, metrics = recipe.begin(config, "export")
    if metrics:
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    from cvcourse import classifier, training
    from cvcourse.compression import deployment

    with recipe.user_errors():
        deployment.check(config.targets, True)
        loaded = classifier.load(
            config.source,
            config.weights,
            weights_dir=config.weights_dir,
            allow_noncommercial=config.allow_noncommercial,
            named=False,
            **config.model_args,
        )
        images, examples, notes = chosen_images(config, loaded)
        deployment.check(config.targets, images is not None)
        deployment.deployable(loaded.model)
    print(*notes, sep="\n", flush=True)
    with recipe.open_run(config, "export", loaded.title.replace(".", "-")) as run:
        run.begin()
        details = {"class_names": loaded.class_names or (), "images": images}
        try:
            with standard_error_closed():  # against messages of C++ code
                rows = deployment.export(loaded.model, run.path, config.targets, **details)
        except ValueError as error:
            raise RunError(str(error)) from error
        keras_row = {}
        if config.measure:
            if examples:
                notes.append(f"{len(examples):,} images are classified.")
                keras_row = add_accuracy(run.path, loaded.model, rows, examples)
            add_times(run.path, rows, config.rounds)
        machine = {"vectors": training.vector_extensions(), "cores": os.cpu_count()}
        deployment.update(run.path, rows, machine)
        sections = [
            {"caption": "Files", "table": files_table(rows, keras_row), "notes": FILE_NOTES},
        ]
        if config.measure:
            sections.append({"caption": "Speed", "table": speed_table(rows), "notes": SPEED_NOTES})
        names = ", ".join(machine["vectors"]) or "unknown"
        scripts = [f"python {run.path / f'run_{target}.py'} photo.jpg" for target in rows]
        sections.append({"caption": "Use", "text": "\n".join(scripts)})
        metrics = training.write_report(
            run.path,
            metrics={
                "keras": keras_row,
                "targets": rows,
                "vector_extensions": machine["vectors"],
                "seconds": round(time.monotonic() - begun, 1),
            },
            title=f"Export of {loaded.title}",
            lead=[*notes, f"Vector extensions of the machine: {names}."],
            sections=sections,
            config=dataclasses.asdict(run.config),
        )
    for row in whole_table(metrics):
        print("  ".join(row))
    return metrics


def chosen_images(config, loaded):
    """Choose images for calibration and a Split to classify; None without a dataset."""
    import numpy as np

    from cvcourse import evaluation_split

    dataset = config.dataset or loaded.run.get("dataset")
    needed = config.measure or any(target.endswith("int8") for target in config.targets)
    if not dataset or not needed:
        return None, None, []
    chosen = evaluation_split.choose(loaded, dataset, data_dir=config.data_dir)
    rng, examples = np.random.default_rng(config.seed), chosen.examples
    notes = [*chosen.notes]
    if chosen.name == "all":  # new to the model: calibrate with some, classify the others
        order = rng.permutation(len(examples))
        drawn = examples.take(np.sort(order[: config.calibrate]))
        examples = examples.take(np.sort(order[config.calibrate :]))
        notes.append(f"{len(drawn)} of them set ranges; the other {len(examples):,} are new.")
    else:
        train = evaluation_split.choose(loaded, dataset, "train", data_dir=config.data_dir).examples
        drawn = train.take(np.sort(rng.permutation(len(train))[: config.calibrate]))
        notes.append(f"{len(drawn)} images of the training split set ranges.")
    if config.limit and config.limit < len(examples):
        examples = examples.take(np.sort(rng.permutation(len(examples))[: config.limit]))
    return pixels_of(loaded.model, drawn.images[:]), examples, notes


def pixels_of(model, images):
    """Return the pixels that a network without resizing takes, float32."""
    import keras
    import numpy as np

    from cvcourse.layers.resizing import resized_pixels

    images, pixels = np.asarray(images, "float32"), resized_pixels(model)
    if pixels is None:
        return images
    return keras.Model(model.input, pixels).predict(images, verbose=0)


def add_accuracy(folder, model, rows, examples):
    """Add the accuracy of each target to its row; return that of Keras."""
    import numpy as np

    from cvcourse.compression import deployment
    from cvcourse.compression.exported_process import ExportedProcess

    net, size = deployment.deployable(model), BATCHES[-1]
    labels, found = [], {who: [] for who in ("keras", *rows)}
    with contextlib.ExitStack() as stack:
        processes = {
            target: stack.enter_context(ExportedProcess(folder, target)) for target in rows
        }
        for start in range(0, len(examples), size):
            batch = examples.take(slice(start, start + size))
            pixels = pixels_of(model, batch.images[:])
            predicted = {"keras": np.array(net(pixels, training=False))}
            predicted |= {target: each.predict(pixels) for target, each in processes.items()}
            for who, outputs in predicted.items():
                found[who].extend(outputs.argmax(1))
            labels.extend(batch.labels)
    shares = {who: float(np.mean(np.equal(classes, labels))) for who, classes in found.items()}
    for target, row in rows.items():
        row["accuracy"] = shares[target]
        row["agreement"] = float(np.mean(np.equal(found[target], found["keras"])))
    return {"accuracy": shares["keras"], "images": len(examples)}


def add_times(folder, rows, rounds):
    """Add seconds and peak memory of each target to its row."""
    import numpy as np

    from cvcourse.compression.exported_process import ExportedProcess
    from cvcourse.training import timing

    with contextlib.ExitStack() as stack:
        processes = {
            target: stack.enter_context(ExportedProcess(folder, target)) for target in rows
        }
        for size in BATCHES:
            shape = next(iter(rows.values()))["input"]["shape"][1:]
            images = np.random.default_rng(0).integers(0, 256, (size, *shape)).astype("float32")
            blocks = {
                target: partial(process.seconds, images, CALLS[size])
                for target, process in processes.items()
            }
            seconds = timing.take_turns(blocks, rounds)
            for target, row in rows.items():
                row[f"seconds_batch_{size}"] = timing.quartiles(seconds[target])
                row[f"peak_bytes_batch_{size}"] = processes[target].peak_bytes


def files_table(rows, keras_row):
    """Return the table of the files: rows of texts, titles first."""
    table = [["target", "bytes", "input", "runtime", "difference", "agreement, %", "accuracy, %"]]
    if keras_row:
        accuracy = f"{100 * keras_row['accuracy']:.2f}"
        table.append(["Keras", "–", "float32", "–", "–", "–", accuracy])
    for target, row in rows.items():
        runtime, version = [*row["versions"].items()][-1]
        shares = [
            f"{100 * row[key]:.2f}" if key in row else "–" for key in ("agreement", "accuracy")
        ]
        cells = [target, f"{row['bytes']:,}", row["input"]["dtype"], f"{runtime} {version}"]
        table.append([*cells, f"{row['largest_difference']:.1e}", *shares])
    return table


def speed_table(rows):
    """Return the table of time and memory; cells of medians are (share of the largest, text)."""
    table, medians = [["target"]], {}
    for size in BATCHES:
        table[0] += [f"ms, batch {size}", "quartiles", "memory, MiB"]
        medians[size] = [row[f"seconds_batch_{size}"]["median"] for row in rows.values()]
    for target, row in rows.items():
        cells = [target]
        for size in BATCHES:
            seconds, peak = row[f"seconds_batch_{size}"], row[f"peak_bytes_batch_{size}"]
            low, high = (1000 * each for each in seconds["quartiles"])
            share = seconds["median"] / max(medians[size])
            cells += [(share, f"{1000 * seconds['median']:.2f}"), f"{low:.2f} to {high:.2f}"]
            cells.append("–" if peak is None else f"{peak / MEBIBYTE:.0f}")
        table.append(cells)
    return table


def whole_table(metrics):
    """Return all measures in one table: rows of texts, titles first."""
    rows, keras_row = metrics["targets"], metrics["keras"]
    files = files_table(rows, keras_row)
    if not all(f"seconds_batch_{BATCHES[0]}" in row for row in rows.values()):
        return files
    speeds = [
        [text if isinstance(text, str) else text[1] for text in row] for row in speed_table(rows)
    ]
    speeds[1:1] = [["–"] * len(speeds[0])] if keras_row else []
    return [[*file, *speed[1:]] for file, speed in zip(files, speeds, strict=True)]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
