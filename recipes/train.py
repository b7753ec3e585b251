"""Train a network of the course on a data set: the main job.

    cvcourse train --dataset=digits
    cvcourse train --model=resnet20 --dataset=fashion_mnist --batch_size=128 --epochs=20

Leaves a directory with model.keras, metrics.json, history.csv, report.html, TensorBoard logs and
checkpoints. The command it prints first goes on with it after Ctrl-C, a crash or a power cut, and
the result is the same to the bit.
"""

import dataclasses
import functools
import json
import pathlib
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

FREE = ("workdir", "data_dir", "checkpoint_minutes", "extend")  # cannot change the result
SET_ELSEWHERE = {  # what is no knob of --model_args
    "input_shape": "--input_shape",
    "dropout": "--dropout",
    "num_classes": "the data set",
    "name": "--model",
}
NOT_EXTENDABLE = "only --schedule=constant goes on as if it had been longer from the start"


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
        None, "the first N examples of each split: a smoke run", least=1
    )
    augment: tuple[str, ...] | None = recipe.field(
        None,
        "none, or any of them; auto: what is usual for the data set",
        choices=("crop", "shift", "flip", "color"),
    )
    epochs: int = recipe.field(30, "passes over the training split", least=1)
    batch_size: int = recipe.field(32, "examples a step", least=1)
    optimizer: str = recipe.field(
        "nesterov",
        "update rule",
        choices=("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"),
    )
    learning_rate: float = recipe.field(0.05, "the highest of the run", above=0)
    schedule: str = recipe.field(
        "cosine", "the learning rate's course", choices=("constant", "step", "linear", "cosine")
    )
    warmup_epochs: float = recipe.field(0.0, "epochs of rising learning rate before it", least=0)
    weight_decay: float = recipe.field(
        5e-4, "on kernels: coupled L2, as in the papers; decoupled for adamw", least=0
    )
    dropout: float | None = recipe.field(
        None, "rate of the network's dropout layers; none: as its paper has it", least=0, below=1
    )
    monitor: str = recipe.field(
        "val_loss", "what makes an epoch the best", choices=("val_loss", "val_accuracy")
    )
    patience: int | None = recipe.field(None, "epochs without a better one, then stop", least=1)
    precision: str = recipe.field(
        "float32", "of the layers", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    seed: int = recipe.field(0, "of weights, order and augmentation", least=0, below=2**32)
    workdir: str | None = recipe.field(None, "the run's directory; none: a fresh one under runs/")
    checkpoint_minutes: float = recipe.field(5.0, "between checkpoints inside an epoch", above=0)
    extend: bool = recipe.field(False, "let the run in workdir have more epochs than it had")


def main(config):
    """Train, evaluate on the test split once, report; returns what metrics.json holds.

    Raises UsageError for a wrong value or another run's workdir, RunError for what goes wrong in
    data, files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config = recipe.check(config)
    rules = {"free": FREE, "vouched": ("dataset",)}
    if config.schedule != "constant":
        rules["fixed_epochs"] = NOT_EXTENDABLE
    if metrics := recipe.recognize(config, **rules):
        print(f"{config.workdir} is finished: {json.dumps(metrics)}")
        if config.schedule == "constant":
            print("--extend --epochs=N goes on with it")
        return metrics

    import_tensorflow_quietly()
    import keras

    from cvcourse import data, models, training

    keras.utils.set_random_seed(config.seed)
    with recipe.usage():
        models.knobs(config.model)  # before data are read: is there such a network?
        dataset = data.load(config.dataset, data_dir=config.data_dir, limit=config.limit)
        model = build(config, dataset)

    augment = config.augment
    if augment is None:
        augment = data.usual_augmentation(config.dataset)
    batch_size = min(config.batch_size, len(dataset.train))
    steps = data.steps_per_epoch(dataset.train, batch_size)
    options = dict(batch_size=batch_size, seed=config.seed)
    in_order = functools.partial(data.stream, **options, shuffle=False)
    with recipe.usage():
        compiled(config, model, steps)

    with recipe.claim(config, "train", config.model, config.dataset, **rules) as run:
        early_stopping = keras.callbacks.EarlyStopping(
            config.monitor,
            mode="max" if config.monitor == "val_accuracy" else "min",
            patience=config.patience or sys.maxsize,
        )
        resume = training.ExactResume(
            model,
            run.path,
            steps_per_epoch=steps,
            early_stopping=early_stopping,
            minutes=config.checkpoint_minutes,
            command=run.command,
            data=dataset.fingerprint(),
        )
        callbacks = [
            training.CrossEntropyIsLoss(),
            early_stopping,
            training.BestModel(run.path / "model.keras", early_stopping, dataset.class_names),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
            resume,
        ]
        if not training.someone_watches():
            callbacks.append(training.EpochLine(config.epochs))
        run.begin()
        print(f"augmentation: {', '.join(augment) or 'none'}", flush=True)
        with data.naming_broken_images(dataset):
            with resume.stopping_on_signals():
                for span in resume.spans(config.epochs):
                    model.fit(
                        data.stream(
                            dataset.train, **options, start_step=resume.step, augment=augment
                        ),
                        validation_data=in_order(dataset.validation),
                        callbacks=callbacks,
                        shuffle=False,  # the stream's affair
                        verbose=int(training.someone_watches()),
                        **span,
                    )
            return training.conclude(
                run.path,
                title=f"{config.model} on {pathlib.Path(config.dataset).stem}",
                config=dataclasses.replace(run.config, augment=tuple(augment)),
                dataset=dataset,
                resume=resume,
                batch_size=batch_size,
                batches=in_order,
            )


def build(config, dataset):
    """The model for a data set's raw images. Raises ValueError for what the net will not take."""
    from cvcourse import data, models, training

    settings = dict(config.model_args)
    for knob, place in SET_ELSEWHERE.items():
        if knob in settings and (knob != "dropout" or config.dropout is not None):
            raise ValueError(f"--model_args: {knob} is set by {place}")
    if config.dropout is not None:
        settings["dropout"] = config.dropout
    settings["input_shape"] = config.input_shape or models.input_shape_for(
        config.model, dataset.input_shape
    )
    mean, variance = data.channel_statistics(dataset.train)
    with training.precision(config.precision):
        net = models.build(config.model, num_classes=dataset.num_classes, **settings)
        if len(net.outputs) > 1:
            raise ValueError(f"train fits one output; {config.model} has {', '.join(net.output)}")
        return models.from_raw_images(net, dataset.input_shape, mean=mean, variance=variance)


def compiled(config, model, steps_per_epoch):
    """The model with its optimizer, loss and metrics. Raises ValueError for what does not fit."""
    import keras

    from cvcourse import optimization

    rate = optimization.schedule(
        config.schedule,
        config.learning_rate,
        steps=config.epochs * steps_per_epoch,
        warmup_steps=round(config.warmup_epochs * steps_per_epoch),
    )
    model.compile(
        optimization.optimizer(config.optimizer, model, rate, weight_decay=config.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Weighted, since the last batch of an evaluation is filled up with examples of weight 0;
        # and the cross-entropy once more, without the weight decay's penalty.
        weighted_metrics=[
            "accuracy",
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
        ],
    )
    return model


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="train", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
