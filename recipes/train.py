"""Train a network on a dataset.

    cvcourse train --dataset=digits
    cvcourse train --model=resnet20 --dataset=fashion_mnist --batch_size=128 --epochs=20

Writes model.keras, metrics.json, history.csv, report.html, TensorBoard logs and checkpoints to the
run's directory. After Ctrl-C, a crash or a power cut, the command that it prints first resumes the
run, and the result is the same, bit for bit.
"""

import dataclasses
import functools
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.deprecation import renamed_attributes
from cvcourse.startup import import_tensorflow_quietly

SET_BY = {  # builder argument that --model_args must not contain: the flag that sets it
    "input_shape": "--input_shape",
    "num_classes": "the dataset",
    "name": "--model",
    "dropout": "--dropout",
    "survival": "--stochastic_depth",
    "drop_path": "--stochastic_depth",
}
MIXING = ("mixup", "cutmix")  # augmentations that change labels too
EXTENDABLE = ("constant", "inverse_sqrt")
NOT_EXTENDABLE = (
    f"only a run with --schedule={' or '.join(EXTENDABLE)}, without --average=swa and --snapshots, "
    "can be extended as if it had been longer from the start"
)
SCHEDULED_DROP_PATH = (
    "the rate of dropped paths grows over the run's length, which more epochs would change; a run "
    "begun with --model_args=drop_path_steps=N can be extended"
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.TrainingFields, recipe.DataFields, recipe.ModelFields):
    """Settings of a run. The defaults were measured on the embedded digits."""

    input_shape: tuple[int, ...] | None = recipe.field(
        None, "height,width,channels of the input; auto: by the images and the network", least=1
    )
    augment: tuple[str, ...] | None = recipe.field(
        None,
        "random augmentations of training images, or none; auto: the usual ones of the dataset",
        choices=("crop", "shift", "flip", "color", "pca_color", "cutout", *MIXING),
    )
    loss: str = recipe.field(
        "softmax",
        "loss: cross-entropy (softmax), or multiclass SVM loss (hinge)",
        choices=("softmax", "hinge"),
    )
    label_smoothing: float = recipe.field(
        0.0, "label smoothing of the training loss, as in Keras' losses", least=0, below=1
    )
    scale_learning_rate: int | None = recipe.field(
        None, "reference batch size: scale --learning_rate linearly to --batch_size", least=1
    )
    dropout: float | None = recipe.field(
        None, "rate of the network's dropout layers; none: the paper's rate", least=0, below=1
    )
    stochastic_depth: float | None = recipe.field(
        None,
        "drop rate of the last block's path (nasnet: at the end of the run; fractalnet: of any "
        "path into a join, unless a column is drawn); none: the paper's rate",
        least=0,
        below=1,
    )
    average: str = recipe.field(
        "none",
        "average of weights to validate and save; swa: over the last quarter of the epochs",
        choices=("none", "ema", "swa"),
    )
    snapshots: int = recipe.field(
        0, "number of evenly spaced epochs whose models are saved; divides --epochs", least=0
    )
    test: bool = recipe.field(True, "evaluate the best epoch on the test split")
    accumulate: int = recipe.field(
        1, "batches per update; gradients are averaged, and schedules count updates", least=1
    )
    watch: int = recipe.field(
        0,
        "number of validation images whose Grad-CAM is saved each epoch",
        least=0,
        free=True,
    )
    extend: bool = recipe.field(False, "continue the run in --workdir for more epochs", free=True)

    def misfits(self):
        if self.loss == "hinge" and soft_labels(self):
            yield (
                "--loss=hinge needs class numbers as labels, so neither --label_smoothing nor "
                "--augment=mixup,cutmix: leave them out, or use --loss=softmax"
            )
        if self.snapshots and self.epochs % self.snapshots:
            yield f"--snapshots={self.snapshots} does not divide --epochs={self.epochs}"


def main(config: Config) -> dict:
    """Train, evaluate once on the test split, and write the report.

    Returns the contents of metrics.json, also for a finished run, with the run's `workdir` and the
    path `model` of its model.keras (`keras.saving.load_model` needs `import cvcourse.layers`).
    """
    config = recipe.check(config)
    rules = {"fixed": why_not_longer(config)}
    devices, metrics = distribution.meet(
        config,
        lambda: recipe.begin(config, "train", **rules)[1],
        recipe.command(config, recipe.program("train")),
    )
    if metrics:
        if not rules["fixed"] and not recipe.whole_command():
            print("--extend --epochs=N continues it")
        return metrics
    import keras

    from cvcourse import data, models, training

    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        models.builder_args(config.model)  # fail before data are read
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
            equal=lambda: {"data": dataset.fingerprint(), "versions": training.versions()},
            **rules,
        ) as run,
        data.report_corrupt_images(dataset),
    ):
        trained = fit(model, setting, dataset, run)
        metrics = None
        if devices.chief:
            metrics = training.evaluate_and_report(
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
    """Resolve the settings that depend on the dataset: the usual augmentation, the batch size."""
    from cvcourse import data

    augment = config.augment
    if augment is None:
        augment = data.usual_augmentation(config.dataset)
    batch_size = min(config.batch_size, len(dataset.train))
    return dataclasses.replace(config, augment=tuple(augment), batch_size=batch_size)


def build_and_compile(config, dataset):
    """Return the resolved config and its compiled model. Raises ValueError for a bad value."""
    from cvcourse import data

    setting = resolve(config, dataset)
    steps = data.steps_per_epoch(dataset.train, setting.batch_size)
    devices = distribution.of(config)
    devices.require_divisible(setting.batch_size)
    with devices.scope():
        model = compiled(setting, build(setting, dataset), steps)
    return setting, devices.ready(model)


def stream(config, dataset, split, **options):
    """Return the batches of a split for a resolved config; `options` are passed to data.stream."""
    from cvcourse import data

    one_hot = dataset.num_classes if soft_labels(config) else None
    options |= {"batch_size": config.batch_size, "seed": config.seed, "one_hot": one_hot}
    return data.stream(split, **options)


def fit(model, config, dataset, run, *, files=True, callbacks=()):
    """Train a compiled model with a resolved config; return the ExactResume of `training.fit`.

    Without `files`, neither model.keras nor TensorBoard logs are written. `callbacks` are called
    before an epoch is saved.
    """
    from cvcourse import data, regularization, training

    steps, devices = data.steps_per_epoch(dataset.train, config.batch_size), distribution.of(config)
    watched = config.watch if files and devices.chief else 0
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
        callbacks=[*callbacks, *training.watch(watched, dataset, run.path)],
        one_hot=soft_labels(config),
        devices=devices,
    )


def why_not_longer(config):
    """Return why a run of this config cannot have more epochs; None if it can."""
    if config.schedule not in EXTENDABLE or config.average == "swa" or config.snapshots:
        return NOT_EXTENDABLE
    if config.extend and drops_paths_by_schedule(config):
        return SCHEDULED_DROP_PATH
    return None


def soft_labels(config):
    """Return whether labels are class probabilities, since they are smoothed or mixed."""
    return bool(config.label_smoothing or {*MIXING} & {*(config.augment or ())})


def drops_paths_by_schedule(config):
    """Return whether the network's rate of dropped paths grows over the steps of the run."""
    import_tensorflow_quietly()
    from cvcourse import models

    with recipe.user_errors():
        rate = config.stochastic_depth
        return models.drops_paths_by_schedule(config.model, config.model_args, rate)


def build(config, dataset):
    """Build the model of a dataset's raw images. Raises ValueError for bad builder arguments."""
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
    flags = {name: value for name, value in flags.items() if value is not None}
    for name in (*flags, "name"):
        if name in config.model_args:
            raise ValueError(f"--model_args: {name} is set by {SET_BY[name]}")
    mean, variance = data.channel_statistics(dataset.train)
    with training.precision(config.precision):
        net = models.build(config.model, **config.model_args, **flags)
        if len(net.outputs) > 1:
            raise ValueError(f"train needs one output; {config.model} has {', '.join(net.output)}")
        models.require_savable(net, config.model)
        training.require_map(net, config.watch)
        return models.with_preprocessing(net, dataset.input_shape, mean=mean, variance=variance)


def compiled(config, model, steps_per_epoch):
    """Compile the model with optimizer, loss and metrics. Raises ValueError for a bad value."""
    import keras

    from cvcourse import optimization, training

    accumulate = config.accumulate if config.accumulate > 1 else None
    more = dict(use_ema=config.average == "ema", gradient_accumulation_steps=accumulate)
    optimizer = optimization.of(config, model, steps_per_epoch, **more)
    loss, smoothing = optimization.LOSSES[config.loss], {}
    if soft_labels(config):
        loss = functools.partial(keras.losses.CategoricalCrossentropy, from_logits=True)
        smoothing = {"label_smoothing": config.label_smoothing}
    metrics, loss = training.weighted_metrics(loss), loss(**smoothing)
    model.compile(optimizer, loss, weighted_metrics=metrics)
    return model


def dry_run(configs):
    """Check many runs on one dataset before anything is written; return the dataset.

    Raises UsageError if `main` would refuse any of them.
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
__getattr__ = renamed_attributes(
    __name__, settled="resolve", prepared="build_and_compile", rehearse="dry_run"
)


if __name__ == "__main__":
    sys.exit(cli())
