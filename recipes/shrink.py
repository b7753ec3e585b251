"""Compare techniques that make a network smaller: one network, one table, equal training.

    cvcourse shrink
    cvcourse shrink --techniques=prune,ternary --model=resnet20 --dataset=cifar10
    cvcourse shrink --source=runs/train/x --seeds=auto

A network is trained, or loaded from --source. Each row changes it and trains the result for
--fine_tune_epochs with the same settings; the row none trains it without a change. Accuracies are
those of the network read from the row's .cvz file, whose bytes the table has; those before training
are of the changed network. The test split is evaluated at the end.

Techniques: prune (magnitude pruning), share (prune, then weight sharing), prune_filters, factorize
(low rank), quantize (quantization-aware training of 8 and 4 bits), ternary (TTQ, TWN), binary (BWN,
BinaryConnect, XNOR), dense_sparse_dense, and distill: Hinton, Vinyals & Dean 2015,
https://arxiv.org/abs/1503.02531, a smaller network that learns from the logits, against the same
without (student); both are trained for --epochs and --fine_tune_epochs together.
"""

import contextlib
import dataclasses
import functools
import io
import math
import pathlib
import sys
from typing import Any

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

RIVALS = {"dense_sparse_dense": "none", "distill": "student"}  # that differ in accuracy alone
NOTES = (
    "Bytes: of the .cvz file, with the lossless coding that is smallest for each tensor. Ratio: "
    "float32 weights of the dense network over these bytes.",
    "MACs: multiply-accumulates for one image, zeros included. Those of binary and ternary kernels "
    "are additions on suitable hardware, and those of xnor operations of bits.",
    "Gain: test accuracy minus that of the row none, which was trained for as many epochs.",
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.SourceFields):
    """The techniques, their strength, and the training."""

    techniques: tuple[str, ...] = recipe.field(
        (
            *("prune", "share", "prune_filters", "factorize", "quantize", "ternary", "binary"),
            *("dense_sparse_dense", "distill"),
        ),
        "techniques to compare with none",
        distinct=True,
    )
    model: str = "lenet5_caffe"
    limit: int | None = 6000
    epochs: int = 10
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    fine_tune_epochs: int = recipe.field(
        6, "number of epochs that each row is trained further", least=2
    )
    fine_tune_learning_rate: float = recipe.field(1e-3, "peak learning rate of these", above=0)
    density: float = recipe.field(0.1, "share of the weights that prune keeps", above=0)
    bits: int = recipe.field(4, "bits of the index of a shared weight", least=1, below=9)
    keep: float = recipe.field(0.5, "share of the filters that prune_filters keeps", above=0)
    macs: float = recipe.field(
        0.5, "share of the multiply-accumulates that factorize keeps", above=0, below=1
    )
    sparsity: float = recipe.field(
        0.3, "share of the weights that are zero in the sparse phase", least=0, below=1
    )
    student: str = recipe.field("lenet5", "smaller network of distill, as --model", source=True)
    student_args: dict = recipe.field({}, "arguments of its builder")
    temperature: float = recipe.field(3.0, "temperature of the logits of distill", above=0)
    seeds: tuple[int, ...] | None = recipe.field(
        (0, 1, 2),
        "random seeds of the repetitions; auto: one run with --seed",
        least=0,
        below=2**32,
    )

    def misfits(self):
        for name in ("density", "keep"):
            if getattr(self, name) > 1:
                yield f"--{name} must be above 0 and at most 1; received {getattr(self, name):g}"
        if self.seeds is not None and (not self.seeds or len({*self.seeds}) < len(self.seeds)):
            yield f"--seeds expects one or more different values; received {self.seeds}"


@dataclasses.dataclass(frozen=True)
class Task:
    """What a row starts from."""

    config: Config
    model: Any
    run: Any = None
    dataset: Any = None


def main(config: Config) -> dict:
    """Train the network, then each row, and write the table and the report.

    Args:
        config: Config.

    Returns:
        The metrics: `rows` has {row: {measure: mean, std, seeds}}.

    Raises:
        UsageError: For a wrong value, or a technique that cannot change the network.
        RunError: If a file or the dataset cannot be read.
    """
    from cvcourse import fine_tuning

    config = fine_tuning.resolve(recipe.check(config), "fashion_mnist")
    config, metrics = recipe.begin(config, "shrink")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    if "distill" in config.techniques:
        train.dry_run([student_settings(config)])
    with recipe.open_run(config, "shrink", config.model, config.dataset) as run:
        run.begin()
        return one_run(run) if config.seeds is None else several_runs(run)


def one_run(run):
    """Train and evaluate the rows with one seed; return the metrics."""
    from cvcourse import data, fine_tuning

    config = run.config
    trained = fine_tuning.load(config, run, train, check=functools.partial(check, config))
    task = Task(config, trained.model, run, trained.dataset)
    rows = {}
    with data.report_corrupt_images(trained.dataset):
        for row, (change, training) in rows_of(config).items():
            with recipe.subrun(row, run.command):
                rows[row] = measured(task, row, change, training, trained.class_names)
    for values in rows.values():
        values["gain"] = accuracy(values) - accuracy(rows["none"])
    return report(run, [rows], seeds=[config.seed])


def measured(task, row, change, training, class_names):
    """Change and train the network of a row, write it and read it again; return its numbers."""
    from cvcourse import fine_tuning, models
    from cvcourse.compression import compressed_file

    changed = change(task)
    *_, before = [found for found in fine_tuning.evaluate(changed, task.dataset) if found]
    model, seconds = training(task, row, changed)
    path = task.run.path / f"{row}.cvz"
    size = compressed_file.write(model, path, class_names=class_names)
    model = compressed_file.read(path)
    validation, test = fine_tuning.evaluate(model, task.dataset)
    found = {
        "bytes": size,
        "ratio": 4 * task.model.count_params() / size,
        "macs": models.cost(model).macs,
        "before_accuracy": before.accuracy,
        "val_accuracy": validation.accuracy,
        "test_accuracy": test and test.accuracy,
        "seconds": round(seconds, 1),
    }
    print(f"{row}: {size:,} bytes, accuracy {accuracy(found):.4f}", flush=True)
    return found


def several_runs(run):
    """Compare with each seed; return the metrics, with the means."""
    config = run.config
    runs = {
        f"seed {seed}": dataclasses.replace(
            config, seed=seed, seeds=None, workdir=str(run.path / f"seed{seed}")
        )
        for seed in config.seeds
    }
    found = [
        {row: {key: v and v["mean"] for key, v in values.items()} for row, values in rows.items()}
        for rows in (one["rows"] for one in recipe.run_each(main, runs, run.command).values())
    ]
    return report(run, found, seeds=[*config.seeds])


def accuracy(values):
    """Return the accuracy of a row that counts: on the test split, if there is one."""
    return values["val_accuracy" if values["test_accuracy"] is None else "test_accuracy"]


# ---- techniques: how a row changes a network, and how it is trained afterwards ----


def tuned(task, row, model, **settings):
    """Train a changed network further; return it and the seconds."""
    from cvcourse import fine_tuning

    given = {"epochs": task.config.fine_tune_epochs}
    given["learning_rate"] = task.config.fine_tune_learning_rate
    trained = fine_tuning.fine_tune(model, task.run, row, task.dataset, **{**given, **settings})
    return model, trained.total_seconds()


def changed_by(function, *names, **settings):
    """Return the row of a function (model, values of fields `names`, **settings) -> model."""

    def change(task):
        from cvcourse import compression

        values = [getattr(task.config, name) for name in names]
        return getattr(compression, function)(task.model, *values, **settings)

    return change, tuned


def factorized(task):
    """Return the network with layers of low rank."""
    from cvcourse import compression

    return compression.factorize(task.model, macs=task.config.macs, scheme="channel")


def copied(task):
    """Return a copy of the network."""
    from cvcourse.compression import surgery

    return surgery.replaced(task.model)


def pruned(task, row, _, epochs=None):
    """Prune a copy of the network while it is trained."""
    from cvcourse import compression

    epochs = epochs or task.config.fine_tune_epochs
    end = math.ceil(0.75 * epochs * steps_of(task))  # then the pruned network is trained
    every = max(1, end // 50)
    pruning = compression.MagnitudePruning(task.config.density, begin=0, end=end, every=every)
    return tuned(task, row, copied(task), epochs=epochs, callbacks=[pruning])


def pruned_and_shared(task):
    """Return the network pruned at once, with shared weights."""
    from cvcourse import compression

    return compression.share_weights(
        compression.prune(task.model, task.config.density), task.config.bits
    )


def shared(task, row, _):
    """Prune in the first epochs, and train the shared weights in the last ones."""
    from cvcourse import compression

    last = math.ceil(task.config.fine_tune_epochs / 4)
    model, first = pruned(task, f"{row}_pruned", None, task.config.fine_tune_epochs - last)
    model = compression.share_weights(model, task.config.bits)
    # The gradient of a centroid is a sum over many weights.
    rate = task.config.fine_tune_learning_rate / 10
    model, second = tuned(task, row, model, epochs=last, learning_rate=rate)
    return model, first + second


def dense_sparse_dense(task, row, model):
    """Train with a sparse phase in the middle third."""
    from cvcourse import compression

    third = max(1, steps_of(task) * task.config.fine_tune_epochs // 3)
    callback = compression.DenseSparseDense(task.config.sparsity, sparse=(third, 2 * third))
    return tuned(task, row, model, callbacks=[callback])


def student_settings(config):
    """Return the settings of `train` with which the student is built."""
    own = {"model": config.student, "model_args": config.student_args, "workdir": None}
    return recipe.as_config(train.Config, config, **own)


def student(task):
    """Build the smaller network, with equal weights for both of its rows."""
    import keras

    keras.utils.set_random_seed(task.config.seed)
    with recipe.user_errors():
        return train.build(student_settings(task.config), task.dataset)


def student_alone(task, row, model, **settings):
    """Train the student for as long as the other rows, the training of the network included."""
    config = task.config
    given = {"learning_rate": config.learning_rate, "weight_decay": 0.0}  # Distiller has no decay
    return tuned(
        task, row, model, epochs=config.epochs + config.fine_tune_epochs, **given, **settings
    )


def distilled(task, row, model):
    """Train the student with the logits of the network as soft targets, and with the labels."""
    import keras

    from cvcourse import optimization, training

    loss = optimization.LOSSES["softmax"]
    distiller = keras.distillation.Distiller(
        copied(task), model, keras.distillation.LogitsDistillation(task.config.temperature)
    )
    compile = functools.partial(
        distiller.compile, loss=loss(), weighted_metrics=training.weighted_metrics(loss)
    )
    _, seconds = student_alone(task, row, distiller, compile=compile)
    return model, seconds


TECHNIQUES: dict[str, dict[str, tuple[Any, Any]]] = {  # technique: its rows
    "prune": {"prune": (changed_by("prune", "density")[0], pruned)},
    "share": {"share": (pruned_and_shared, shared)},
    "prune_filters": {"prune_filters": changed_by("prune_filters", "keep")},
    "factorize": {"factorize": (factorized, tuned)},
    "quantize": {  # a scale per kernel, so that the file has one codebook per kernel
        f"quantize_{bits}": changed_by("quantization_aware", bits=bits, per_channel=False)
        for bits in (8, 4)
    },
    "ternary": {m: changed_by("ternarize", method=m) for m in ("ttq", "twn")},
    "binary": {m: changed_by("binarize", method=m) for m in ("bwn", "binaryconnect", "xnor")},
    "dense_sparse_dense": {"dense_sparse_dense": (copied, dense_sparse_dense)},
    "distill": {"student": (student, student_alone), "distill": (student, distilled)},
}


def rows_of(config):
    """Return {row: (change, training)} of the chosen techniques, with none first."""
    rows = {"none": (copied, tuned)}
    for technique in config.techniques:
        rows |= TECHNIQUES[technique]
    return rows


def check(config, model):
    """Raise ValueError if a technique cannot change the network."""
    with contextlib.redirect_stderr(io.StringIO()):  # each row prints its lines later
        for change, _ in rows_of(config).values():
            if change is not student:
                change(Task(config, model))


def steps_of(task):
    """Return the number of batches of an epoch."""
    from cvcourse import data

    images = task.dataset.train
    return data.steps_per_epoch(images, min(task.config.batch_size, len(images)))


# ---- the report ----


def report(run, runs, seeds):
    """Write the table and the figure of [{row: {measure: number}}], one for each seed."""
    from cvcourse import figures
    from cvcourse.training import comparison

    config = run.config
    rows = {
        row: {key: comparison.mean_and_std(one[row][key] for one in runs) for key in runs[0][row]}
        for row in runs[0]
    }
    means = {
        row: {key: value and value["mean"] for key, value in values.items()}
        for row, values in rows.items()
    }
    count = len(seeds)
    repetitions = f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed"
    return comparison.write_comparison(
        run.path,
        metrics={
            "rows": rows,
            "losers": losers(means),
            "seeds": seeds,
            "epochs": config.epochs,
            "fine_tune_epochs": config.fine_tune_epochs,
            "seconds": round(sum(v["seconds"] for one in runs for v in one.values()), 1),
        },
        title=f"Smaller networks: {config.model} on {pathlib.Path(config.dataset).stem}",
        lead=[
            f"Each row is changed, then trained for {config.fine_tune_epochs} epochs; "
            f"{repetitions}. Student and distill are {config.student}, trained from scratch.",
            *losers(means).values(),
            *NOTES,
        ],
        tables={"Size, cost and accuracy": rows},
        figures={
            "Accuracy by bytes of the file": figures.accuracy_by_bytes(
                {row: (values["bytes"], accuracy(values)) for row, values in means.items()}
            )
        },
        config=dataclasses.asdict(config),
    )


def losers(rows):
    """Return {row: sentence} for the rows of {row: {measure: number}} that do not win.

    A row loses if another has at most its bytes and MACs and at least its accuracy. Rows whose
    technique only aims at accuracy are compared with their rival.
    """
    found = {}
    for row, values in rows.items():
        others = [RIVALS[row]] if row in RIVALS else [] if row in ("none", "student") else rows
        better = [
            other
            for other in others
            if other != row
            and accuracy(rows[other]) >= accuracy(values)
            and (
                row in RIVALS
                or (
                    rows[other]["bytes"] <= values["bytes"]
                    and rows[other]["macs"] <= values["macs"]
                )
            )
        ]
        if better:
            best = min(better, key=lambda other: rows[other]["bytes"])
            found[row] = f"{row} does not win: {numbers(values)}; {best} has {numbers(rows[best])}."
    return found


def numbers(values):
    """Format bytes, multiply-accumulates and accuracy of a row."""
    return f"{values['bytes']:,.0f} bytes, {values['macs']:,.0f} MACs, {accuracy(values):.2%}"


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
