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
import io
import math
import sys
from functools import partial
from typing import Any

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

ROWS = {  # technique: its rows
    **{name: (name,) for name in ("prune", "share", "prune_filters", "factorize")},
    "quantize": ("quantize_8", "quantize_4"),
    "ternary": ("ttq", "twn"),
    "binary": ("bwn", "binaryconnect", "xnor"),
    "dense_sparse_dense": ("dense_sparse_dense",),
    "distill": ("student", "distill"),
}


@dataclasses.dataclass(frozen=True)
class Config(recipe.SeedsFields, recipe.SourceFields):
    """The techniques, their strength, and the training."""

    techniques: tuple[str, ...] = recipe.field(
        tuple(ROWS),
        "techniques to compare with none",
        choices=tuple(ROWS),
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

    def misfits(self):
        for name in ("density", "keep"):
            if getattr(self, name) > 1:
                yield f"--{name} must be above 0 and at most 1; received {getattr(self, name):g}"


@dataclasses.dataclass(frozen=True)
class Task:
    """The start of each row: the trained network, its dataset, and the run."""

    config: Config
    run: Any
    model: Any
    dataset: Any


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
    from cvcourse.training import shrink_report

    config = run.config
    trained = fine_tuning.load(config, run, train, check=partial(check, config))
    task = Task(config, run, trained.model, trained.dataset)
    with data.report_corrupt_images(trained.dataset):
        rows = {row: measured(task, row, trained.class_names) for row in rows_of(config)}
    return shrink_report.write(run, [rows], [config.seed])


def several_runs(run):
    """Compare with each seed; return the metrics, with the means."""
    from cvcourse.training import shrink_report

    runs = recipe.run_each_seed(main, run)
    found = [shrink_report.means(metrics["rows"]) for metrics in runs.values()]
    return shrink_report.write(run, found, [*run.config.seeds])


def measured(task, row, class_names):
    """Change and train the network of a row, write it and read it again; return its numbers."""
    from cvcourse import fine_tuning
    from cvcourse.compression import compressed_file

    is_student = row in ROWS["distill"]
    changed = student(task) if is_student else changes(task.config)[row](task.model)
    *_, before = filter(None, fine_tuning.evaluate(changed, task.dataset))
    model, seconds = TRAININGS.get(row, tuned)(task, row, changed)
    path = task.run.path / f"{row}.cvz"
    size = compressed_file.write(model, path, class_names=class_names)
    model = compressed_file.read(path)
    validation, test = fine_tuning.evaluate(model, task.dataset)
    print(f"{row}: {size:,} bytes, validation accuracy {validation.accuracy:.4f}", flush=True)
    return {
        "bytes": size,
        "ratio": 4 * task.model.count_params() / size,
        "macs": fine_tuning.count_macs(model),
        "before_accuracy": before.accuracy,
        "test_accuracy": test and test.accuracy,
        "val_accuracy": validation.accuracy,
        "seconds": round(seconds, 1),
    }


def rows_of(config):
    """List the rows of the chosen techniques, after none."""
    return ["none", *(row for technique in config.techniques for row in ROWS[technique])]


def changes(config):
    """Return {row: function model -> model}, the techniques before any training."""
    from cvcourse import compression
    from cvcourse.compression import surgery

    def pruned_and_shared(model):
        return compression.share_weights(compression.prune(model, config.density), config.bits)

    quantized = partial(  # a scale for each kernel: one codebook each in the file
        compression.quantization_aware, per_channel=False
    )
    return {
        "none": surgery.replaced,
        "prune": partial(compression.prune, density=config.density),
        "share": pruned_and_shared,
        "prune_filters": partial(compression.prune_filters, keep=config.keep),
        "factorize": partial(compression.factorize, macs=config.macs, scheme="channel"),
        "quantize_8": partial(quantized, bits=8),
        "quantize_4": partial(quantized, bits=4),
        **{method: partial(compression.ternarize, method=method) for method in ROWS["ternary"]},
        **{method: partial(compression.binarize, method=method) for method in ROWS["binary"]},
        "dense_sparse_dense": surgery.replaced,
    }


def check(config, model):
    """Raise ValueError if a technique cannot change the network."""
    with contextlib.redirect_stderr(io.StringIO()):  # each row prints its lines later
        for row in rows_of(config):
            if row in ROWS["distill"]:
                continue
            try:
                changes(config)[row](model)
            except ValueError as error:
                raise ValueError(f"{row}: {error}") from error


# ---- training of a row: functions (task, row, changed model) -> (model, seconds) ----


def tuned(task, row, model, **settings):
    """Train a changed network further."""
    from cvcourse import fine_tuning

    config = task.config
    given = {"epochs": config.fine_tune_epochs, "learning_rate": config.fine_tune_learning_rate}
    trained = fine_tuning.fine_tune(model, task.run, row, task.dataset, **{**given, **settings})
    return model, trained.total_seconds()


def pruned(task, row, _, epochs=None):
    """Prune a copy of the network while it is trained."""
    from cvcourse import fine_tuning
    from cvcourse.compression import surgery

    config, model = task.config, surgery.replaced(task.model)
    epochs = epochs or config.fine_tune_epochs
    settings = {"epochs": epochs, "learning_rate": config.fine_tune_learning_rate}
    run = fine_tuning.prune(model, task.run, row, task.dataset, config.density, **settings)
    return model, run.total_seconds()


def shared(task, row, _):
    """Prune in the first epochs, and train the shared weights in the last quarter."""
    from cvcourse import compression

    config = task.config
    last = math.ceil(config.fine_tune_epochs / 4)
    model, first = pruned(task, f"{row}_pruned", None, config.fine_tune_epochs - last)
    model = compression.share_weights(model, config.bits)
    rate = config.fine_tune_learning_rate / 10  # a centroid's gradient is a sum over its weights
    model, second = tuned(task, row, model, epochs=last, learning_rate=rate)
    return model, first + second


def dense_sparse_dense(task, row, model):
    """Train with a sparse phase in the middle third."""
    from cvcourse import compression

    third = max(1, steps_of(task) * task.config.fine_tune_epochs // 3)
    phases = compression.DenseSparseDense(task.config.sparsity, sparse=(third, 2 * third))
    return tuned(task, row, model, callbacks=[phases])


def student_settings(config):
    """Return the settings of `train` with which the student is built."""
    own = {"model": config.student, "model_args": config.student_args, "workdir": None}
    return recipe.as_config(train.Config, config, **own)


def student(task):
    """Build the smaller network, with equal weights for both of its rows."""
    import keras

    keras.utils.set_random_seed(task.config.seed)
    return train.build(student_settings(task.config), task.dataset)


def student_alone(task, row, model, **settings):
    """Train the student for as many epochs as the other rows, with those of the network."""
    config = task.config
    given = {"learning_rate": config.learning_rate, "weight_decay": 0.0}  # Distiller has no decay
    epochs = config.epochs + config.fine_tune_epochs
    return tuned(task, row, model, epochs=epochs, **given, **settings)


def distiller(teacher, model, temperature):
    """Return Keras' Distiller of a copy of the teacher, for a student."""
    import keras

    from cvcourse.compression import surgery

    # An object: for its default, the text "kl_divergence", Keras 3.15 leaves out the softmax.
    loss = keras.distillation.LogitsDistillation(temperature, loss=keras.losses.KLDivergence())
    return keras.distillation.Distiller(surgery.replaced(teacher), model, loss)


def distilled(task, row, model):
    """Train the student with the logits of the network as soft targets, and with the labels."""
    from cvcourse import optimization, training

    loss = optimization.LOSSES["softmax"]
    whole = distiller(task.model, model, task.config.temperature)
    metrics = training.weighted_metrics(loss)
    compile = partial(whole.compile, loss=loss(), weighted_metrics=metrics)
    return model, student_alone(task, row, whole, compile=compile)[1]


TRAININGS = {
    **{"prune": pruned, "share": shared, "dense_sparse_dense": dense_sparse_dense},
    **{"student": student_alone, "distill": distilled},
}


def steps_of(task):
    """Return the number of batches of an epoch."""
    from cvcourse import fine_tuning

    return fine_tuning.batches_of(task.config, task.dataset)[1]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
