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
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

NETS = {"rnn": "rnn", "lstm": "lstm", "gru": "gru", "transformer": "transformer_encoder"}
RATES = {"rnn": 0.003, "lstm": 0.02, "gru": 0.02, "transformer": 0.003}  # on digits, by pixels
ASKED = 256  # validation images, at most, whose gradients are averaged


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields, recipe.DeviceFields, recipe.FitFields, recipe.DataFields):
    """What is compared, and on what."""

    models: tuple[str, ...] = recipe.field(
        tuple(NETS), "the nets", choices=tuple(NETS), distinct=True
    )
    read: str = recipe.field("pixels", "what a step sees", choices=("rows", "pixels"))
    units: int = recipe.field(64, "of a recurrent layer; channels of the Transformer", least=1)
    depth: int = recipe.field(1, "recurrent layers, or the Transformer's blocks", least=1)
    heads: int = recipe.field(4, "of the Transformer's attention; they share its channels", least=1)
    epochs: int = 25
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float | None = recipe.field(
        None,
        "the highest learning rate of the run; none: each net's own, "
        + ", ".join(f"{name} {rate:g}" for name, rate in RATES.items()),
        above=0,
    )
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0


def main(config):
    """Train what is missing, compare, report; returns what metrics.json holds.

    Raises UsageError for wrong values, before anything is written, RunError for what goes wrong in
    data, files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config, metrics = recipe.begin(config, "sequence_mnist", shown=test_accuracies)
    if metrics:
        return metrics

    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()

    from cvcourse import data

    with recipe.usage():
        dataset = data.of(config)
        setting = dataclasses.replace(config, batch_size=min(config.batch_size, len(dataset.train)))
        untrained = {name: build_and_compile(setting, name, dataset) for name in config.models}
    with (
        recipe.claim(config, "sequence_mnist", config.read, config.dataset) as run,
        data.naming_broken_images(dataset),
    ):
        if len(config.models) > 1:
            run.begin()
            nets = {name: part["nets"][name] for name, part in parts(run).items()}
        else:
            (name,) = config.models
            nets = {name: alone(run, setting, name, dataset, untrained[name])}
        return report(run, nets, steps(config, dataset)[0])


def test_accuracies(metrics):
    """The test accuracy of each net."""
    return {name: row["test_accuracy"] for name, row in metrics["nets"].items()}


def steps(config, dataset):
    """How many steps an image has, and how many numbers a step: colors are in one step."""
    height, width, channels = dataset.input_shape
    if config.read == "rows":
        return height, width * channels
    return height * width, channels


def build_and_compile(config, name, dataset):
    """A net with its optimizer, loss and metrics. Raises ValueError for what does not fit."""
    import keras

    from cvcourse import data, optimization, training

    keras.utils.set_random_seed(config.seed)
    config = dataclasses.replace(config, learning_rate=config.learning_rate or RATES[name])
    loss = optimization.LOSSES["softmax"]
    devices = distribution.of(config)
    devices.require_divisible(config.batch_size)
    with devices.scope(), training.precision(config.precision):
        model = build(config, name, dataset)
        model.compile(
            optimization.of(config, model, data.steps_per_epoch(dataset.train, config.batch_size)),
            loss(),
            weighted_metrics=training.weighted_metrics(loss),
        )
    return devices.ready(model)


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
    # bfloat16 would round the pixels before the mean is taken off.
    exact = {"mean": mean, "variance": variance, "dtype": "float32"}
    x = keras.layers.Normalization(**exact, name="normalization")(image)
    return behind(image, keras.layers.Reshape(shape, name="steps")(x), net)


def parts(run):
    """Each net trained in its own directory: {name: metrics}. What is finished is not repeated."""
    folder = pathlib.Path(run.config.workdir)
    configs = {
        name: dataclasses.replace(run.config, models=(name,), workdir=str(folder / name))
        for name in run.config.models
    }
    return recipe.run_each(main, configs, run.command)


def alone(run, config, name, dataset, model):
    """Train one net, measure how far back it reaches, evaluate its best epoch: its metrics."""
    from cvcourse import data, sequence, training

    shape = steps(config, dataset)
    asked = dataset.validation.take(slice(ASKED))
    norms = {"before": sequence.input_gradient_norms(model, asked.images, asked.labels, shape)}
    stream = functools.partial(data.stream, batch_size=config.batch_size, seed=config.seed)
    trained = training.fit(
        model,
        run,
        functools.partial(stream, dataset.train),
        functools.partial(stream, dataset.validation, shuffle=False),
        steps_per_epoch=data.steps_per_epoch(dataset.train, config.batch_size),
        batch_size=config.batch_size,
        data=dataset.fingerprint(),
        names=dataset.class_names,
        devices=distribution.of(config),
    )
    best, _ = training.load_model(run.path / "model.keras")
    validation, test = training.evaluate_held_out(
        best, dataset, functools.partial(stream, shuffle=False)
    )
    norms["after"] = sequence.input_gradient_norms(best, asked.images, asked.labels, shape)
    return {
        "learning_rate": config.learning_rate or RATES[name],
        "test_accuracy": test and test.accuracy,
        "test_loss": test and test.loss,
        "val_accuracy": validation.accuracy,
        "val_loss": validation.loss,
        **training.facts(trained, best, config),
        "first_half": {when: sequence.share_of_first_half(row) for when, row in norms.items()},
        "gradient_norms": norms,
    }


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


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
