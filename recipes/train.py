"""Train a network of the course on a data set: the main job.

    cvcourse train --dataset=digits
    cvcourse train --model=resnet20 --dataset=fashion_mnist --batch_size=128 --epochs=20

Leaves a directory with model.keras, metrics.json, history.csv, report.html, TensorBoard logs and
checkpoints. The command it prints first goes on with it after Ctrl-C, a crash or a power cut, and
the result is the same to the bit.
"""

import dataclasses
import functools
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

SET_BY = {  # what is no knob of --model_args where a flag sets it
    "input_shape": "--input_shape",
    "num_classes": "the data set",
    "name": "--model",
    "dropout": "--dropout",
    "survival": "--stochastic_depth",
    "drop_path": "--stochastic_depth",
}
MIXING = ("mixup", "cutmix")  # augmentations that change labels too
EXTENDABLE = ("constant", "inverse_sqrt")
NOT_EXTENDABLE = (
    f"only --schedule={' or '.join(EXTENDABLE)}, without --average=swa and --snapshots, goes on as "
    "if it had been longer from the start"
)
SCHEDULED_DROP_PATH = (
    "the rate of dropped paths grows over the run's length, which more epochs would change; a run "
    "begun with --model_args=drop_path_steps=N can have more"
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.TrainingFields, recipe.DataFields, recipe.ModelFields):
    """The settings of a run; the defaults are measured on the embedded digits."""

    input_shape: tuple[int, ...] | None = recipe.field(
        None,
        "height,width,channels the network takes; auto: the images', or its usual size",
        least=1,
    )
    augment: tuple[str, ...] | None = recipe.field(
        None,
        "none, or any of them; auto: what is usual for the data set",
        choices=("crop", "shift", "flip", "color", "pca_color", "cutout", *MIXING),
    )
    loss: str = recipe.field(
        "softmax",
        "cross-entropy, or the course's multiclass SVM loss",
        choices=("softmax", "hinge"),
    )
    label_smoothing: float = recipe.field(
        0.0, "share of a label that all classes get alike; in training alone", least=0, below=1
    )
    scale_learning_rate: int | None = recipe.field(
        None,
        "the batch size that --learning_rate is meant for: scaled to --batch_size (linear rule)",
        least=1,
    )
    dropout: float | None = recipe.field(
        None, "rate of the network's dropout layers; none: as its paper has it", least=0, below=1
    )
    stochastic_depth: float | None = recipe.field(
        None,
        "rate at which the last block's path is dropped (nasnet: at the run's end; fractalnet: any "
        "path of a join, where no column is drawn); none: as its paper has it",
        least=0,
        below=1,
    )
    average: str = recipe.field(
        "none",
        "average of the weights to validate and keep: exponential, or equal over the epochs of the "
        "last quarter",
        choices=("none", "ema", "swa"),
    )
    snapshots: int = recipe.field(
        0, "how many epochs' models to keep in snapshots/; divides --epochs", least=0
    )
    test: bool = recipe.field(True, "evaluate the best epoch on the test split")
    accumulate: int = recipe.field(
        1,
        "batches whose gradients are averaged before the weights move, across epochs; schedules "
        "and averages go by these updates",
        least=1,
    )
    extend: bool = recipe.field(
        False, "let the run in workdir have more epochs than it had", free=True
    )

    def misfits(self):
        if self.loss == "hinge" and soft_labels(self):
            yield (
                "--loss=hinge takes whole labels, so neither --label_smoothing nor "
                "--augment=mixup,cutmix: leave them out, or take --loss=softmax"
            )
        if self.snapshots and self.epochs % self.snapshots:
            yield f"--snapshots={self.snapshots} does not divide --epochs={self.epochs}"


def main(config):
    """Train, evaluate on the test split once, report."""
    config = recipe.check(config)
    rules = {"fixed": why_not_longer(config)}
    devices, metrics = distribution.meet(
        config,
        lambda: recipe.begin(config, "train", **rules)[1],
        recipe.command(config, recipe.program("train")),
    )
    if metrics:
        if not rules["fixed"] and not recipe.whole_command():
            print("--extend --epochs=N goes on with it")
        return metrics
    import keras

    from cvcourse import data, models, training

    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        models.builder_args(config.model)  # before data are read: is there such a network?
        dataset = data.of(config)
        if not config.test:
            dataset = dataclasses.replace(dataset, test=None)
        setting, model = build_and_compile(config, dataset)
    with (
        recipe.open_run(
            config,
            "train",
            *(config.model, config.dataset),
            devices=devices,
            alike=lambda: {"data": dataset.fingerprint(), "versions": training.versions()},
            **rules,
        ) as run,
        data.report_corrupt_images(dataset),
    ):
        trained = fit(model, setting, dataset, run)
        metrics = None
        if devices.chief:
            metrics = training.conclude(
                run.path,
                title=f"{config.model} on {pathlib.Path(config.dataset).stem}",
                config=dataclasses.replace(run.config, augment=setting.augment),
                dataset=dataset,
                resume=trained,
                batch_size=setting.batch_size,
                batches=functools.partial(stream, setting, dataset, shuffle=False),
                loss_name=config.loss,
                more=devices.facts(setting.batch_size),
            )
        return devices.from_chief(metrics)


def resolve(config, dataset):
    """The config with what the data set decides: a usual augmentation, no batch larger than it."""
    from cvcourse import data

    augment = config.augment
    if augment is None:
        augment = data.usual_augmentation(config.dataset)
    batch_size = min(config.batch_size, len(dataset.train))
    return dataclasses.replace(config, augment=tuple(augment), batch_size=batch_size)


def build_and_compile(config, dataset):
    """(settled config, its compiled model). Raises ValueError for what does not fit."""
    from cvcourse import data

    setting = resolve(config, dataset)
    steps = data.steps_per_epoch(dataset.train, setting.batch_size)
    devices = distribution.of(config)
    devices.require_divisible(setting.batch_size)
    with devices.scope():
        model = compiled(setting, build(setting, dataset), steps)
    return setting, devices.ready(model)


def stream(config, dataset, split, **options):
    """The batches of a split, as a settled config has them; `options` are those of data.stream."""
    from cvcourse import data

    return data.stream(
        split,
        batch_size=config.batch_size,
        seed=config.seed,
        one_hot=dataset.num_classes if soft_labels(config) else None,
        **options,
    )


def fit(model, config, dataset, run, *, files=True, callbacks=()):
    """Train a compiled model in a run's directory, or go on with it there: its ExactResume.

    `config` is a settled one. Without `files` only what resuming needs is written: no model.keras,
    no TensorBoard. `callbacks` see each epoch's logs before it is saved.
    """
    from cvcourse import data, regularization, training

    steps = data.steps_per_epoch(dataset.train, config.batch_size)
    shuffled = functools.partial(stream, config, dataset, dataset.train, augment=config.augment)
    print(f"augmentation: {', '.join(config.augment) or 'none'}", flush=True)
    return training.fit(
        model,
        run,
        shuffled,
        functools.partial(stream, config, dataset, dataset.validation, shuffle=False),
        steps_per_epoch=steps,
        batch_size=config.batch_size,
        data=dataset.fingerprint(),
        names=dataset.class_names if files else None,
        averages=regularization.weight_averages(config, model, shuffled(), steps),
        callbacks=callbacks,
        one_hot=soft_labels(config),
        devices=distribution.of(config),
    )


def why_not_longer(config):
    """Why a run of this config cannot have more epochs; None where it can."""
    if config.schedule not in EXTENDABLE or config.average == "swa" or config.snapshots:
        return NOT_EXTENDABLE
    if config.extend and drops_paths_by_schedule(config):
        return SCHEDULED_DROP_PATH
    return None


def soft_labels(config):
    """Whether labels are shares of classes: one-hot rows, smoothed or mixed."""
    return bool(config.label_smoothing or {*MIXING} & {*(config.augment or ())})


def drops_paths_by_schedule(config):
    """Whether the net's rate of dropped paths grows with the steps, over a run's if not over N."""
    import_tensorflow_quietly()
    from cvcourse import models

    with recipe.user_errors():
        rate = config.stochastic_depth
        return models.drops_paths_by_schedule(config.model, config.model_args, rate)


def build(config, dataset):
    """The model for a data set's raw images. Raises ValueError for what the net will not take."""
    from cvcourse import data, models, training

    usual_shape = models.input_shape_for(config.model, dataset.input_shape)
    flags = {
        "input_shape": config.input_shape or usual_shape,
        "num_classes": dataset.num_classes,
        "dropout": config.dropout,
        **models.stochastic_depth(config.model, config.stochastic_depth),
    }
    if drops_paths_by_schedule(config):
        steps = config.epochs * data.steps_per_epoch(dataset.train, config.batch_size)
        flags["drop_path_steps"] = max(1, steps)
    flags = {knob: value for knob, value in flags.items() if value is not None}
    for knob in (*flags, "name"):
        if knob in config.model_args:
            raise ValueError(f"--model_args: {knob} is set by {SET_BY[knob]}")
    mean, variance = data.channel_statistics(dataset.train)
    with training.precision(config.precision):
        net = models.build(config.model, **config.model_args, **flags)
        if len(net.outputs) > 1:
            raise ValueError(f"train fits one output; {config.model} has {', '.join(net.output)}")
        models.require_savable(net, config.model)
        return models.with_preprocessing(net, dataset.input_shape, mean=mean, variance=variance)


def compiled(config, model, steps_per_epoch):
    """The model with its optimizer, loss and metrics. Raises ValueError for what does not fit."""
    import keras

    from cvcourse import optimization, training

    optimizer = optimization.of(
        config,
        model,
        steps_per_epoch,
        use_ema=config.average == "ema",
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
    )
    loss, smoothing = optimization.LOSSES[config.loss], {}
    if soft_labels(config):
        loss = functools.partial(keras.losses.CategoricalCrossentropy, from_logits=True)
        smoothing = {"label_smoothing": config.label_smoothing}
    metrics, loss = training.weighted_metrics(loss), loss(**smoothing)
    model.compile(optimizer, loss, weighted_metrics=metrics)
    return model


def dry_run(configs):
    """Raise UsageError for what `main` would refuse of any of these runs; returns their data set.

    For a recipe of many runs on one data set, before it writes anything.
    """
    from cvcourse import data, models

    source = configs[0]
    distribution.require_one_process(source.strategy)
    with recipe.user_errors():
        models.builder_args(source.model)
        dataset = data.of(source)
        for config in map(recipe.check, configs):
            build_and_compile(config, dataset)
    return dataset


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
