"""Train a network of the course on a data set: the main job.

    cvcourse train --dataset=digits
    cvcourse train --model=resnet20 --dataset=fashion_mnist --batch_size=128 --epochs=20

Leaves a directory with model.keras, metrics.json, history.csv, report.html, TensorBoard logs and
checkpoints. The command it prints first goes on with it after Ctrl-C, a crash or a power cut, and
the result is the same to the bit.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.distribution import STRATEGIES
from cvcourse.errors import UsageError
from cvcourse.startup import import_tensorflow_quietly

FREE = ("workdir", "data_dir", "checkpoint_minutes", "extend")  # cannot change the result
SET_BY = {  # what is no knob of --model_args where a flag sets it
    "input_shape": "--input_shape",
    "num_classes": "the data set",
    "name": "--model",
    "dropout": "--dropout",
    "survival": "--stochastic_depth",
    "drop_path": "--stochastic_depth",
}
MIXING = ("mixup", "cutmix")  # augmentations that change labels too
CYCLIC = ("cosine_restarts", "shifted_cosine")
IMAGES_FOR_BATCH_NORM = 10_000  # at most: more of them would hardly move its statistics
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
class Config:
    """The settings of a run; the defaults are measured on the embedded digits."""

    model: str = recipe.field("lenet5", "a network of cvcourse.models.REGISTRY")
    model_args: dict = recipe.field({}, "its builder's knobs, such as width=0.25,depths=1/1")
    input_shape: tuple[int, ...] | None = recipe.field(
        None,
        "height,width,channels the network takes; auto: the images', or its usual size",
        least=1,
    )
    dataset: str = recipe.field(
        "digits", "digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, a folder or an .npz"
    )
    data_dir: str | None = recipe.field(None, "where published data sets are looked for first")
    limit: int | None = recipe.field(
        None, "N examples of each split, of every class: a smoke run", least=1
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
    epochs: int = recipe.field(30, "passes over the training split", least=1)
    batch_size: int = recipe.field(32, "examples a step", least=1)
    optimizer: str = recipe.field(
        "nesterov",
        "update rule",
        choices=(
            *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "almost_adam", "adamw"),
            "lbfgs",
        ),
    )
    learning_rate: float = recipe.field(0.05, "the highest of the run", above=0)
    scale_learning_rate: int | None = recipe.field(
        None,
        "the batch size that --learning_rate is meant for: scaled to --batch_size (linear rule)",
        least=1,
    )
    schedule: str = recipe.field(
        "cosine",
        "the learning rate's course",
        choices=(
            *("constant", "step", "exponential", "inverse_time", "linear", "cosine"),
            *("inverse_sqrt", "one_cycle", *CYCLIC),
        ),
    )
    cycles: int | None = recipe.field(
        None, f"how often {' and '.join(CYCLIC)} begin anew; divides --epochs", least=1
    )
    milestones: tuple[float, ...] | None = recipe.field(
        None,
        "of --schedule=step: when the rate drops, in epochs from the start of the run, as 30,60; "
        "auto: at 50 % and 75 % of what follows the warm-up",
        above=0,
    )
    milestone_unit: str = recipe.field(
        "epochs",
        "what --milestones count; steps are updates of the weights",
        choices=("epochs", "steps"),
    )
    factor: float = recipe.field(
        0.1, "of --schedule=step: what the rate is multiplied by at a milestone", above=0, below=1
    )
    warmup_epochs: float = recipe.field(0.0, "epochs of rising learning rate before it", least=0)
    weight_decay: float = recipe.field(
        5e-4, "on kernels: coupled L2, as in the papers; decoupled for adamw", least=0
    )
    clip_norm: float | None = recipe.field(
        None, "the largest norm of a step's whole gradient", above=0
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
        "of the weights, to validate and keep: exponential, or the last quarter's epochs alike",
        choices=("none", "ema", "swa"),
    )
    monitor: str = recipe.field(
        "val_loss", "what makes an epoch the best", choices=("val_loss", "val_accuracy")
    )
    patience: int | None = recipe.field(None, "epochs without a better one, then stop", least=1)
    min_delta: float = recipe.field(0.0, "how much better an epoch must be to count", least=0)
    start_from_epoch: int = recipe.field(
        0, "epochs that cannot be the best and use up no patience", least=0
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
    strategy: str = recipe.field(
        "auto", "where to train; auto: several devices or workers if there are", choices=STRATEGIES
    )
    cpu_devices: int | None = recipe.field(
        None, "split the CPU into so many devices, to try a strategy", least=1
    )
    precision: str = recipe.field(
        "float32", "of the layers", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    seed: int = recipe.field(0, "of weights, order and augmentation", least=0, below=2**32)
    workdir: str | None = recipe.field(None, "the run's directory; none: a fresh one under runs/")
    checkpoint_minutes: float = recipe.field(5.0, "between checkpoints inside an epoch", above=0)
    extend: bool = recipe.field(False, "let the run in workdir have more epochs than it had")


MISFITS = (  # what no field says alone: the sentence, and whether it holds of a config
    (
        "--optimizer=lbfgs sees the whole data set at each step, and train sees batches: "
        "`cvcourse optimizers` runs it",
        lambda c: c.optimizer == "lbfgs",
    ),
    (
        "--loss=hinge takes whole labels, so neither --label_smoothing nor --augment=mixup,cutmix: "
        "leave them out, or take --loss=softmax",
        lambda c: c.loss == "hinge" and soft_labels(c),
    ),
    (
        "--cycles={c.cycles} does not divide --epochs={c.epochs}",
        lambda c: c.cycles and c.epochs % c.cycles,
    ),
    (
        "--milestones and --factor are of --schedule=step; received --schedule={c.schedule}",
        lambda c: c.schedule != "step" and (c.milestones is not None or c.factor != Config.factor),
    ),
    (
        "--milestones={c.milestones} do not ascend between the {c.warmup_epochs:g} epochs of the "
        "warm-up and --epochs={c.epochs}",
        lambda c: (
            c.milestones is not None
            and c.milestone_unit == "epochs"
            and not ascend(c.warmup_epochs, *c.milestones, c.epochs)
        ),
    ),
    (
        "--snapshots={c.snapshots} does not divide --epochs={c.epochs}",
        lambda c: c.snapshots and c.epochs % c.snapshots,
    ),
    (
        "--start_from_epoch={c.start_from_epoch} leaves none of --epochs={c.epochs} to be the best",
        lambda c: c.start_from_epoch >= c.epochs,
    ),
)


def main(config):
    """Train, evaluate on the test split once, report; returns what metrics.json holds.

    Raises UsageError for a wrong value or another run's workdir, RunError for what goes wrong in
    data, files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config = recipe.check(config)
    require_fit(config)
    rules = {"free": FREE, "vouched": ("dataset",)}
    if config.schedule not in EXTENDABLE or config.average == "swa" or config.snapshots:
        rules["fixed"] = NOT_EXTENDABLE
    elif config.extend and drops_paths_by_schedule(config):
        rules["fixed"] = SCHEDULED_DROP_PATH
    chief = distribution.is_chief(config.strategy)
    metrics = recipe.recognize(config, "train", **rules) if chief else None
    if not metrics or distribution.cluster(config.strategy):  # whose others wait to hear of it
        import_tensorflow_quietly()
        devices = distribution.of(config)
        again = recipe.command(config, recipe.program("train"))
        with devices.together(again):
            metrics = devices.from_chief(metrics)
    if metrics:
        print(f"{config.workdir} is finished: {json.dumps(metrics)}")
        if "fixed" not in rules and not recipe.whole_command():
            print("--extend --epochs=N goes on with it")
        return metrics
    import keras

    from cvcourse import data, models, training

    keras.utils.set_random_seed(config.seed)
    with recipe.usage():
        models.knobs(config.model)  # before data are read: is there such a network?
        dataset = data.of(config)
        if not config.test:
            dataset = dataclasses.replace(dataset, test=None)
        setting, model = prepared(config, dataset)
    if devices.workers > 1:
        with devices.together(again):
            devices.require_alike(what_workers_share(config, dataset))
    words = config.model, config.dataset
    with (
        recipe.claim(config, "train", *words, chief=chief, **rules) as run,
        devices.together(run.command),
        data.naming_broken_images(dataset),
    ):
        resume = fit(model, setting, dataset, run)
        if chief:
            metrics = training.conclude(
                run.path,
                title=f"{config.model} on {pathlib.Path(config.dataset).stem}",
                config=dataclasses.replace(run.config, augment=setting.augment),
                dataset=dataset,
                resume=resume,
                batch_size=setting.batch_size,
                batches=functools.partial(stream, setting, dataset, shuffle=False),
                loss_name=config.loss,
                more=devices.facts(setting.batch_size),
            )
        return devices.from_chief(metrics)


def what_workers_share(config, dataset):
    """{name: value} of what processes that train together must have in common."""
    from cvcourse import training

    fields = {key: value for key, value in vars(config).items() if key not in FREE}
    fields = json.loads(json.dumps(fields))
    return {**fields, "data": dataset.fingerprint(), "versions": training.versions()}


def settled(config, dataset):
    """The config with what the data set decides: a usual augmentation, no batch larger than it."""
    from cvcourse import data

    augment = config.augment
    if augment is None:
        augment = data.usual_augmentation(config.dataset)
    batch_size = min(config.batch_size, len(dataset.train))
    return dataclasses.replace(config, augment=tuple(augment), batch_size=batch_size)


def prepared(config, dataset):
    """(settled config, its compiled model). Raises ValueError for what does not fit."""
    from cvcourse import data

    setting = settled(config, dataset)
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
    import keras

    from cvcourse import data, regularization, training

    devices = distribution.of(config)
    steps = data.steps_per_epoch(dataset.train, config.batch_size)
    shuffled = functools.partial(stream, config, dataset, dataset.train, augment=config.augment)
    early_stopping = keras.callbacks.EarlyStopping(
        config.monitor,
        mode="max" if config.monitor == "val_accuracy" else "min",
        patience=config.patience or sys.maxsize,
        min_delta=config.min_delta,
        start_from_epoch=config.start_from_epoch,
    )
    averages = []
    if config.average != "none":
        images = shuffled().take(min(steps, -(-IMAGES_FOR_BATCH_NORM // config.batch_size)))
        first = int(regularization.SWA_FROM * config.epochs)
        averages = [
            regularization.EMA(images)
            if config.average == "ema"
            else regularization.SWA(model, images, first_epoch=first)
        ]
    resume = training.ExactResume(
        model,
        run.path,
        steps_per_epoch=steps,
        early_stopping=early_stopping,
        minutes=config.checkpoint_minutes,
        command=run.command,
        data=dataset.fingerprint(),
        one_hot=soft_labels(config),
        others=[variable for average in averages for variable in average.variables],
        devices=devices,
    )
    run.begin()
    keep = []
    if files and devices.chief:
        best, names = run.path / "model.keras", dataset.class_names
        keep = [
            training.BestModel(best, early_stopping, names),
            training.EpochTensorBoard(run.path / "tensorboard", write_graph=False),
        ]
        if config.snapshots:
            every = config.epochs // config.snapshots
            keep.append(training.Snapshots(run.path / "snapshots", every, names))
    watched = training.someone_watches()
    show = [training.EpochLine(config.epochs)] if devices.chief and not watched else []
    print(devices.said(config.batch_size), flush=True)
    print(f"augmentation: {', '.join(config.augment) or 'none'}", flush=True)
    validation = functools.partial(stream, config, dataset, dataset.validation, shuffle=False)
    with resume.stopping_on_signals(), devices.fitting():
        for span in resume.spans(config.epochs):
            model.fit(
                devices.feed(shuffled, start_step=resume.step),
                validation_data=devices.feed(validation),
                callbacks=[
                    training.DataLossIsLoss(),
                    early_stopping,
                    *keep,
                    *averages,  # behind what saves the model as it was validated
                    *callbacks,
                    resume,  # behind what trains on
                    *show,
                ],
                shuffle=False,  # the stream's affair
                verbose=int(devices.chief and watched),
                **span,
            )
    return resume


def require_fit(config):
    """Raise UsageError for fields that do not go together."""
    for message, is_wrong in MISFITS:
        if is_wrong(config):
            raise UsageError(message.format(c=config))


def ascend(*numbers):
    """Whether each is larger than the one before."""
    return all(a < b for a, b in itertools.pairwise(numbers))


def soft_labels(config):
    """Whether labels are shares of classes: one-hot rows, smoothed or mixed."""
    return bool(config.label_smoothing or {*MIXING} & {*(config.augment or ())})


def drops_paths_by_schedule(config):
    """Whether the net's rate of dropped paths grows with the steps, over a run's if not over N."""
    import_tensorflow_quietly()
    from cvcourse import models

    with recipe.usage():
        own = models.knobs(config.model) | config.model_args
    rate = config.stochastic_depth
    return (
        "drop_path_steps" in own
        and "drop_path_steps" not in config.model_args
        and bool(own["drop_path"] if rate is None else rate)
    )


def build(config, dataset):
    """The model for a data set's raw images. Raises ValueError for what the net will not take."""
    from cvcourse import data, models, training

    usual_shape = models.input_shape_for(config.model, dataset.input_shape)
    flags = {
        "input_shape": config.input_shape or usual_shape,
        "num_classes": dataset.num_classes,
        "name": config.model,
        "dropout": config.dropout,
    }
    if config.stochastic_depth is not None:
        knobs = models.knobs(config.model)
        rates = {"survival": 1 - config.stochastic_depth, "drop_path": config.stochastic_depth}
        knob = next((name for name in rates if name in knobs), None)
        if knob is None:
            raise ValueError(
                f"--stochastic_depth: {config.model} has no blocks to drop; networks with a knob "
                f"{' or '.join(rates)} do, such as resnet20"
            )
        flags[knob] = rates[knob]
    if drops_paths_by_schedule(config):
        steps = config.epochs * data.steps_per_epoch(dataset.train, config.batch_size)
        flags["drop_path_steps"] = max(1, steps)
    flags = {knob: value for knob, value in flags.items() if value is not None}
    for knob in flags:
        if knob in config.model_args:
            raise ValueError(f"--model_args: {knob} is set by {SET_BY[knob]}")
    mean, variance = data.channel_statistics(dataset.train)
    with training.precision(config.precision):
        net = models.build(config.model, **config.model_args, **flags)
        if len(net.outputs) > 1:
            raise ValueError(f"train fits one output; {config.model} has {', '.join(net.output)}")
        return models.from_raw_images(net, dataset.input_shape, mean=mean, variance=variance)


def learning_rate(config, steps_per_epoch):
    """The run's learning rate by updates of the weights. Raises ValueError for what does not fit.

    What is left of the batches of an epoch is accumulated into the next; of the run, is lost.
    """
    from cvcourse import optimization

    peak, base = config.learning_rate, config.scale_learning_rate
    if base:
        peak = optimization.linear_scaling(peak, config.batch_size * config.accumulate, base)
    updates = config.epochs * steps_per_epoch // config.accumulate
    if not updates:
        raise ValueError(
            f"--accumulate={config.accumulate} is more than the {config.epochs * steps_per_epoch} "
            "batches of the run: the weights would never move"
        )
    an_epoch = steps_per_epoch / config.accumulate
    unit = an_epoch if config.milestone_unit == "epochs" else 1
    return optimization.schedule(
        config.schedule,
        peak,
        steps=updates,
        warmup_steps=round(config.warmup_epochs * an_epoch),
        cycles=config.cycles,
        milestones=config.milestones and [unit * milestone for milestone in config.milestones],
        factor=config.factor,
    )


def compiled(config, model, steps_per_epoch):
    """The model with its optimizer, loss and metrics. Raises ValueError for what does not fit."""
    import keras

    from cvcourse import optimization, training

    optimizer = optimization.optimizer(
        config.optimizer,
        model,
        learning_rate(config, steps_per_epoch),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        use_ema=config.average == "ema",
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
    )
    loss, smoothing = optimization.LOSSES[config.loss], {}
    if soft_labels(config):
        loss = functools.partial(keras.losses.CategoricalCrossentropy, from_logits=True)
        smoothing = {"label_smoothing": config.label_smoothing}
    model.compile(optimizer, loss(**smoothing), weighted_metrics=training.weighted_metrics(loss))
    return model


def rehearse(configs):
    """Raise UsageError for what `main` would refuse of any of these runs; returns their data set.

    For a recipe of many runs on one data set, before it writes anything.
    """
    from cvcourse import data, models

    source = configs[0]
    distribution.require_one_process(source.strategy)
    with recipe.usage():
        models.knobs(source.model)
        dataset = data.of(source)
        for config in map(recipe.check, configs):
            require_fit(config)
            prepared(config, dataset)
    return dataset


def main_each(configs, command, run=None):
    """`main`, or another recipe's as `run`, of each of {name: config}: {name: metrics}.

    What is finished is not repeated. Raises what `main` does; Interrupted with the `command` that
    goes on with all of them.
    """
    metrics = {}
    for number, (name, config) in enumerate(configs.items(), start=1):
        print(f"\nrun {number} of {len(configs)}: {name}", flush=True)
        with recipe.part(name, command):
            metrics[name] = (run or main)(config)
    return metrics


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="train", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
