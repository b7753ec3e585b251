"""What each sequence net remembers: an image read row by row or pixel by pixel, then named.

    cvcourse sequence_mnist
    cvcourse sequence_mnist --read=rows --models=rnn,lstm
    cvcourse sequence_mnist --dataset=fashion_mnist --read=rows --units=128 --batch_size=128

The class is named behind the last step, so what the first ones said must last until then. How far
back a net's loss reaches is the norm of its gradient with respect to each step's pixels: drawn
before training, as the initialization lets it fade on its way back through time, and after. Le,
Jaitly & Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", 2015,
https://arxiv.org/abs/1504.00941, for MNIST by pixels; CS231n, lecture 10. Each net has a directory
of its own inside, like that of a run with one of --models.
"""

import dataclasses
import functools
import json
import pathlib
import sys

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

RULES = {"free": ("workdir", "data_dir", "checkpoint_minutes"), "vouched": ("dataset",)}
AS_IN_TRAIN = (
    *("dataset", "data_dir", "limit", "epochs", "batch_size", "clip_norm", "seed"),
    "checkpoint_minutes",
)
NETS = {"rnn": "rnn", "lstm": "lstm", "gru": "gru", "transformer": "transformer_encoder"}
RATES = {"rnn": 0.003, "lstm": 0.02, "gru": 0.02, "transformer": 0.003}  # on digits, by pixels
ASKED = range(0, 256, 32)  # batches of validation images whose gradients are averaged


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared, and on what; the fields of `train` have its meaning."""

    models: tuple[str, ...] = recipe.field(tuple(NETS), "the nets", choices=tuple(NETS))
    read: str = recipe.field("pixels", "what a step sees", choices=("rows", "pixels"))
    dataset: str = recipe.field("digits", "as in train")
    data_dir: str | None = recipe.field(None, "where published data sets are looked for first")
    limit: int | None = recipe.field(None, "N examples of each split, of every class", least=1)
    units: int = recipe.field(64, "of a recurrent layer; channels of the Transformer", least=1)
    depth: int = recipe.field(1, "recurrent layers, or the Transformer's blocks", least=1)
    heads: int = recipe.field(4, "of the Transformer's attention; they share its channels", least=1)
    epochs: int = recipe.field(25, "passes over the training split", least=1)
    batch_size: int = recipe.field(64, "examples a step", least=1)
    learning_rate: float | None = recipe.field(
        None,
        "Adam's highest, then down a cosine; none: each net's own, "
        + ", ".join(f"{name} {rate:g}" for name, rate in RATES.items()),
        above=0,
    )
    clip_norm: float | None = recipe.field(
        1.0, "the largest norm of a step's whole gradient", above=0
    )
    seed: int = recipe.field(0, "of weights and order", least=0, below=2**32)
    workdir: str | None = recipe.field(None, "the directory of it all; none: a fresh one in runs/")
    checkpoint_minutes: float = recipe.field(5.0, "between checkpoints inside an epoch", above=0)


def main(config):
    """Train what is missing, compare, report; returns what metrics.json holds.

    Raises UsageError for wrong values, before anything is written, RunError for what goes wrong in
    data, files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config = recipe.check(config)
    with recipe.usage():
        if not config.models or len({*config.models}) < len(config.models):
            raise ValueError(f"--models names one or more, each once; received {config.models}")
    if metrics := recipe.recognize(config, "sequence_mnist", **RULES):
        accuracies = {name: row["test_accuracy"] for name, row in metrics["nets"].items()}
        print(f"{config.workdir} is finished: test accuracy {json.dumps(accuracies)}")
        return metrics

    import_tensorflow_quietly()
    import keras

    from cvcourse import data

    with recipe.usage():
        dataset = data.of(config)
        untrained = {}
        for name in config.models:
            keras.utils.set_random_seed(config.seed)
            untrained[name] = build(config, name, dataset)
    with (
        recipe.claim(config, "sequence_mnist", config.read, config.dataset, **RULES) as run,
        data.naming_broken_images(dataset),
    ):
        if len(config.models) > 1:
            run.begin()
            nets = {name: part["nets"][name] for name, part in parts(run).items()}
        else:
            (name,) = config.models
            nets = {name: alone(run, name, dataset, untrained[name])}
        return report(run, nets, steps(config, dataset)[0])


def as_in_train(config, name, dataset):
    """The settings of a net's training, as `train` has them."""
    rate = config.learning_rate or RATES[name]
    shared = {name: getattr(config, name) for name in AS_IN_TRAIN}
    own = {"optimizer": "adam", "schedule": "cosine", "weight_decay": 0.0, "augment": ()}
    own |= {"learning_rate": rate, "strategy": "none"}
    return train.settled(train.Config(**shared, **own), dataset)


def steps(config, dataset):
    """How many steps an image has, and how many numbers a step: colors are in one step."""
    height, width, channels = dataset.input_shape
    if config.read == "rows":
        return height, width * channels
    return height * width, channels


def build(config, name, dataset):
    """The net for raw images, which it reads as a sequence: (batch, h, w, c) -> logits."""
    import keras

    from cvcourse import data, sequence
    from cvcourse.models.raw_images import behind

    shape = steps(config, dataset)
    form = {"units": config.units}
    if name == "transformer":
        form = {"dim": config.units, "mlp": 4 * config.units, "heads": config.heads}
        form |= {"length": shape[0], "dropout": 0.0}
    net = sequence.build(
        NETS[name],
        **form,
        depth=config.depth,
        sequences=False,
        input_shape=shape,
        num_classes=dataset.num_classes,
        name=name,
    )
    mean, variance = data.channel_statistics(dataset.train)
    image = keras.Input(dataset.input_shape, name="image")
    x = keras.layers.Normalization(mean=mean, variance=variance, name="normalization")(image)
    return behind(image, keras.layers.Reshape(shape, name="steps")(x), net)


def parts(run):
    """Each net trained in its own directory: {name: metrics}. What is finished is not repeated."""
    folder = pathlib.Path(run.config.workdir)
    configs = {
        name: dataclasses.replace(run.config, models=(name,), workdir=str(folder / name))
        for name in run.config.models
    }
    return train.main_each(configs, run.command, main)


def alone(run, name, dataset, model):
    """Train one net, look at how far back it reaches, and judge its best epoch: its metrics."""
    import math

    from cvcourse import data, training

    setting = as_in_train(run.config, name, dataset)
    before = reach(model, dataset.validation, steps(run.config, dataset))
    model = train.compiled(setting, model, data.steps_per_epoch(dataset.train, setting.batch_size))
    resume = train.fit(model, setting, dataset, run)
    best, _ = training.load_model(run.path / "model.keras")
    batches = functools.partial(train.stream, setting, dataset, shuffle=False)
    validation, test = training.evaluate_held_out(best, dataset, batches)
    after = reach(best, dataset.validation, steps(run.config, dataset))
    return {
        "learning_rate": setting.learning_rate,
        "test_accuracy": test and test.accuracy,
        "test_loss": test and test.loss,
        "val_accuracy": validation.accuracy,
        "val_loss": validation.loss,
        "best_epoch": resume.best_epoch,
        "epochs": len(resume.history),
        "seconds": round(resume.total_seconds(), 1),
        "parameters": sum(math.prod(v.shape) for v in best.trainable_variables),
        "first_half": {"before": first_half(before), "after": first_half(after)},
        "gradient_norms": {"before": before, "after": after},
    }


def reach(model, split, steps):
    """The norm of the gradient of an example's loss with respect to each step, by its mean.

    A list of floats, in the order of reading. TensorFlow is imported for the gradient.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    @tf.function
    def gradient(images, labels):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = loss(labels, model(images, training=False))
        return tape.gradient(total, images)

    norms = []
    for start in ASKED[: -(-len(split) // ASKED.step)]:
        place = slice(start, start + ASKED.step)
        images = tf.constant(np.asarray(split.images[place]), tf.float32)
        found = gradient(images, tf.constant(split.labels[place])).numpy().astype("float64")
        norms.extend(np.linalg.norm(found.reshape(len(found), *steps), axis=-1))
    return np.mean(norms, axis=0).tolist()


def first_half(norms):
    """The first half of the steps' share of all norms."""
    return sum(norms[: len(norms) // 2]) / sum(norms) if any(norms) else 0.0


# ---- the report ----


def report(run, nets, count):
    """Write report.html and metrics.json, print the table; returns the metrics."""
    from cvcourse import figures, training

    config = run.config
    titles = (
        *("", "test accuracy, %", "validation, %", "learning rate", "best epoch", "parameters"),
        *("seconds", "first half before training, %", "after, %"),
    )
    table = [list(titles)]
    for name, row in nets.items():
        table.append(
            [
                name,
                "–" if row["test_accuracy"] is None else f"{100 * row['test_accuracy']:.2f}",
                f"{100 * row['val_accuracy']:.2f}",
                f"{row['learning_rate']:g}",
                f"{row['best_epoch']} of {row['epochs']}",
                f"{row['parameters']:,}",
                f"{row['seconds']:.0f}",
                *(f"{100 * row['first_half'][when]:.1f}" for when in ("before", "after")),
            ]
        )
    source = pathlib.Path(config.dataset).stem
    unit = config.read.removesuffix("s")
    colors = zip(NETS, figures.palette(len(NETS)), strict=True)  # the same in each picture
    styles = {name: {"color": color, "label": name} for name, color in colors}
    metrics = training.write_report(
        run.path,
        metrics={
            "nets": nets,
            "read": config.read,
            "steps": count,
            "seconds": round(sum(row["seconds"] for row in nets.values()), 1),
            "seed": config.seed,
        },
        title=f"{source}, read {unit} by {unit}",
        lead=[
            f"{count} steps an image, and the class is named behind the last one. First half: how "
            "much of the gradient of the loss with respect to the pixels is with those that were "
            "read first; it would be 50 % if nothing were forgotten and all pixels mattered alike."
        ],
        tables={"The epoch of the lowest validation loss": table},
        figures={
            "By epoch": figures.compared_curves(
                {name: history(run, name) for name in nets},
                {"val_loss": "validation loss (nats)", "val_accuracy": "validation accuracy"},
                styles,
            ),
            "How far back the loss reaches: norm of its gradient by step": figures.gradient_reach(
                {
                    f"{when} training": {
                        name: row["gradient_norms"][when] for name, row in nets.items()
                    }
                    for when in ("before", "after")
                },
                styles,
                xlabel=f"{unit}, in the order of reading",
            ),
        },
        config=dataclasses.asdict(config),
    )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for name, *cells in table:
        print(f"{name:{widths[0]}}", *map(str.rjust, cells, widths[1:]), sep="  ")
    print(f"\nreport: {run.path / 'report.html'}")
    return metrics


def history(run, name):
    """A net's history.csv as columns of numbers."""
    from cvcourse import training

    folder = run.path / name if len(run.config.models) > 1 else run.path
    rows = training.read_history(folder)
    return {key: [row[key] for row in rows] for key in rows[0]}


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="sequence_mnist", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
