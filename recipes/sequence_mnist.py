"""Compare the memory of sequence nets: classify images read row by row or pixel by pixel.

    cvcourse sequence_mnist
    cvcourse sequence_mnist --read=rows --models=rnn,lstm
    cvcourse sequence_mnist --dataset=fashion_mnist --read=rows --units=128 --batch_size=128

The class is predicted after the last step, so that a net must remember the first ones. The report
shows how fast gradients vanish through time: the norm of the gradient of the loss with respect to
each step's pixels, before and after training. Le, Jaitly & Hinton, "A Simple Way to Initialize
Recurrent Networks of Rectified Linear Units", 2015, https://arxiv.org/abs/1504.00941, for MNIST by
pixels; CS231n, lecture 10. Each net is trained in its own subdirectory.
"""

import dataclasses
import functools
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

NETS = {"rnn": "rnn", "lstm": "lstm", "gru": "gru", "transformer": "transformer_encoder"}
RATES = {"rnn": 0.003, "lstm": 0.02, "gru": 0.02, "transformer": 0.003}  # on digits, by pixels
ASKED = 256  # maximum number of validation images whose gradients are averaged


@dataclasses.dataclass(frozen=True)
class Config(
    recipe.SequenceFields,
    recipe.RunFields,
    recipe.DeviceFields,
    recipe.ScheduleFields,
    recipe.FitFields,
    recipe.DataFields,
):
    """Settings of the comparison; fields of `train` have the same meaning here."""

    models: tuple[str, ...] = recipe.field(
        tuple(NETS), "networks to compare", choices=tuple(NETS), distinct=True
    )
    read: str = recipe.field("pixels", "input of each step", choices=("rows", "pixels"))
    epochs: int = 25
    batch_size: int = 64
    learning_rate: float | None = recipe.field(
        None,
        "peak learning rate; none: the default of each network, "
        + ", ".join(f"{name} {rate:g}" for name, rate in RATES.items()),
        above=0,
    )


def main(config: Config) -> dict:
    """Train the nets that are not trained yet, compare, report; return the metrics."""

    def shown(found):
        return {name: net["test_accuracy"] for name, net in found["nets"].items()}

    config, metrics = recipe.begin(config, "sequence_mnist", shown=shown)
    if metrics:
        return metrics
    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()

    from cvcourse import data

    with recipe.user_errors():
        dataset = data.of(config)
        setting = dataclasses.replace(config, batch_size=min(config.batch_size, len(dataset.train)))
        untrained = {name: build_and_compile(setting, name, dataset) for name in config.models}
    with (
        recipe.open_run(config, "sequence_mnist", config.read, config.dataset) as run,
        data.report_corrupt_images(dataset),
    ):
        if len(config.models) > 1:
            run.begin()
            parts = {
                name: dataclasses.replace(run.config, models=(name,), workdir=str(run.path / name))
                for name in config.models
            }
            trained = recipe.run_each(main, parts, run.command)
            nets = {name: metrics["nets"][name] for name, metrics in trained.items()}
        else:
            (name,) = config.models
            nets = {name: train_and_evaluate(run, setting, name, dataset, untrained[name])}
        return report(run, nets, steps(config, dataset)[0])


def steps(config, dataset):
    """Return the number of steps per image, and of numbers per step; a step has all colors."""
    height, width, channels = dataset.input_shape
    if config.read == "rows":
        return height, width * channels
    return height * width, channels


def build_and_compile(config, name, dataset):
    """Build and compile a net. Raises ValueError for settings that do not fit."""
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
    """Build a net that reads raw images as sequences: (batch, h, w, c) -> logits."""
    import keras

    from cvcourse import data, sequence
    from cvcourse.models.raw_images import prepend

    shape = steps(config, dataset)
    settings = sequence.settings_of(
        NETS[name],
        config,
        "depth",
        max_length=shape[0],
        dropout=0.0,
        return_sequences=False,
        input_shape=shape,
        num_classes=dataset.num_classes,
    )
    net = sequence.build(NETS[name], **settings, name=name)
    mean, variance = data.channel_statistics(dataset.train)
    image = keras.Input(dataset.input_shape, name="image")
    # bfloat16 would round the pixels before the mean is subtracted.
    exact = {"mean": mean, "variance": variance, "dtype": "float32"}
    x = keras.layers.Normalization(**exact, name="normalization")(image)
    return prepend(image, keras.layers.Reshape(shape, name="steps")(x), net)


def train_and_evaluate(run, config, name, dataset, model):
    """Train a net, evaluate its best epoch, measure its gradients; return its metrics."""
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
        **training.facts(trained, best),
        "first_half": {when: sequence.share_of_first_half(row) for when, row in norms.items()},
        "gradient_norms": norms,
    }


def report(run, nets, count):
    """Write report.html and metrics.json, print the table; return the metrics."""
    from cvcourse import figures, training
    from cvcourse.training import comparison

    config = run.config
    folders = {name: run.path / name if len(nets) > 1 else run.path for name in nets}
    unit = config.read.removesuffix("s")
    styles = figures.styles({name: name for name in nets}, NETS)
    halves = {
        name: {f"first_half_{when}": share for when, share in row["first_half"].items()}
        for name, row in nets.items()
    }
    return comparison.write_comparison(
        run.path,
        metrics={
            "nets": nets,
            "read": config.read,
            "steps": count,
            "seconds": round(sum(row["seconds"] for row in nets.values()), 1),
            "seed": config.seed,
        },
        title=f"{pathlib.Path(config.dataset).stem}, read {unit} by {unit}",
        lead=[
            f"{count} steps per image; the class is predicted after the last one. First half: "
            "share of the first half of the steps in the gradient of the loss with respect to the "
            "pixels; it would be 50 % if nothing were forgotten and all pixels mattered equally."
        ],
        tables={
            "At the epoch with the lowest validation loss": {
                name: comparison.without_seeds(row | halves[name]) for name, row in nets.items()
            }
        },
        figures={
            "By epoch": figures.compared_curves(
                {name: training.history_columns(folder) for name, folder in folders.items()},
                {"val_loss": "validation loss (nats)", "val_accuracy": "validation accuracy"},
                styles,
            ),
            "Norm of the gradient of the loss by step": figures.gradient_reach(
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


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
