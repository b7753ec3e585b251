"""The training doctor: the course's six checks of a model, its data and settings before a long run.

    cvcourse check --dataset=digits
    cvcourse check --model=resnet20 --dataset=cifar10 --batch_size=128 --learning_rate=0.1
    cvcourse check --model=mine.keras --dataset=photos/ --steps=initial_loss,memorize

Takes all flags of train, and a .keras file for a network. Prints a verdict a step and what to
change, leaves check.json and report.html, and exits with 1 where a step fails. The steps:

    initial_loss    before training the loss is that of a guess: ln K for softmax, K - 1 for hinge
    memorize        20 to 50 examples are learned by heart
    learning_rate   the loss falls at --learning_rate, also on images not seen; a range test
    updates         a step changes all weights, by about 1/1000; no dead, flat, vanishing layers
    gradients       the loss' slopes, measured in float64, are the gradient
    pipeline        no step waits for data
"""

import dataclasses
import functools
import math
import pathlib
import sys
import time
import warnings

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.errors import RunError, UsageError
from cvcourse.startup import import_tensorflow_quietly

STEPS = ("initial_loss", "memorize", "learning_rate", "updates", "gradients", "pipeline")
EXAMPLES = 32  # learned by heart
FEW = 8  # for the gradients
HELD_OUT = 500  # images, at most, that tell whether what is learned holds for others
FOR_BUILDERS = ("model_args", "input_shape", "dropout", "stochastic_depth")  # not for a .keras file
AT_ITS_HIGHEST = dict(schedule="constant", warmup_epochs=0.0, cycles=None, average="none")


@dataclasses.dataclass(frozen=True)
class Config(train.Config):
    """A run's settings, and how to examine it."""

    model: str = recipe.field(
        "lenet5",
        "a network of cvcourse.models.REGISTRY, FILE.py:FUNCTION that builds one of your own, or a "
        ".keras file: raw images to logits",
        source=True,
    )
    steps: tuple[str, ...] = recipe.field(STEPS, "of the examination", choices=STEPS)
    range_steps: int = recipe.field(
        100, "training steps of the range test, and as many at --learning_rate", least=20
    )


def main(config):
    """Examine, print the verdicts, write check.json and report.html; returns what the former holds.

    Raises UsageError for a wrong value or another run's workdir, RunError for what goes wrong in
    data or files.
    """
    config = recipe.check(config)
    if config.strategy not in ("auto", "none"):
        raise UsageError("check examines on one device: leave --strategy out")
    recipe.finished_metrics(config, "check")
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, models, training
    from cvcourse.training import doctor

    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        if not is_file(config.model):
            models.builder_args(config.model)  # before data are read: is there such a network?
        dataset = data.of(config)
        images, classes = len(dataset.train), dataset.num_classes
        if images < classes:
            raise ValueError(f"{images} training images for {classes} classes: raise --limit")
        model = load(config, dataset) if is_file(config.model) else train.build(config, dataset)
        settled = train.resolve(config, dataset)
        compiled = functools.partial(
            train.compiled,
            dataclasses.replace(settled, **AT_ITS_HIGHEST),
            model,
            data.steps_per_epoch(dataset.train, settled.batch_size),
        )
        compiled()
    chance = math.log(classes) if config.loss == "softmax" else classes - 1.0

    words = pathlib.Path(config.model).stem, config.dataset
    with recipe.open_run(config, "check", *words) as run:
        run.begin()
        begin = time.monotonic()
        findings = []
        with data.report_corrupt_images(dataset), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a step says better what Keras warns of
            for name, examine in examination(settled, dataset, model, chance).items():
                if name in config.steps:
                    findings.append(examine())
                    print(findings[-1], flush=True)
                else:
                    findings.append(doctor.Finding(name, doctor.SKIP))
                if name == "memorize":  # it has compiled the model its own way
                    compiled()
        seconds = round(time.monotonic() - begin, 1)
        report = training.write_report(
            run.path,
            title=f"Check: {' on '.join(pathlib.Path(word).stem for word in words)}",
            metrics={
                "steps": [finding.as_json() for finding in findings],
                "failed": [finding.name for finding in findings if finding.verdict == doctor.FAIL],
                "seconds": seconds,
                "seed": config.seed,
            },
            config={**dataclasses.asdict(settled), "workdir": run.config.workdir},
            lead=[f"Examined in {seconds:.0f} s."],
            **training.examination_sections(findings, chance),
            file="check.json",
        )
        return report


def examination(config, dataset, model, chance):
    """The steps by name: functions () -> Finding."""
    import numpy as np

    from cvcourse import data, optimization
    from cvcourse.training import doctor

    batches = functools.partial(
        train.stream, config, dataset, dataset.train, augment=config.augment
    )

    def some(split, count):
        """Images and labels of a split as they are, drawn by the seed."""
        drawn = data.stream(split, batch_size=min(count, len(split)), seed=config.seed)
        return [np.array(part) for part in next(iter(drawn))]

    few = some(dataset.train, EXAMPLES)
    loss = optimization.LOSSES[config.loss]()
    return {
        "initial_loss": lambda: doctor.initial_loss(model, *few, loss=loss, chance=chance),
        "memorize": lambda: doctor.memorize(model, *few, loss=loss, chance=chance),
        "learning_rate": lambda: doctor.learning_rate(
            model,
            batches,
            some(dataset.validation, HELD_OUT),
            chance=chance,
            steps=config.range_steps,
            warm_up=config.warmup_epochs > 0 or config.schedule == "one_cycle",
            monitor="data_loss",
        ),
        "updates": lambda: doctor.updates(model, batches(), *few, loss=loss),
        "gradients": lambda: doctor.gradients(
            model, *(part[:FEW] for part in few), loss=loss, seed=config.seed
        ),
        "pipeline": lambda: doctor.pipeline(model, batches()),
    }


def is_file(model):
    """Whether --model names a file and no network of the registry."""
    return model.endswith(".keras")


def load(config, dataset):
    """The model in a file, for a data set's raw images. Raises ValueError where it does not fit.

    RunError where the file is no model.
    """
    import cvcourse.layers  # noqa: F401  its layers may be in the file
    from cvcourse.saved_model import read_model

    default = Config()
    for name in FOR_BUILDERS:
        if getattr(config, name) != getattr(default, name):
            raise ValueError(f"--{name} is for networks of the registry; {config.model} is built")
    model = read_model(config.model)
    shapes = [tensor.shape for tensor in (*model.inputs, *model.outputs)]
    image, classes = dataset.input_shape, dataset.num_classes
    if len(shapes) != 2 or len(shapes[0]) != 4 or len(shapes[1]) != 2:
        raise ValueError(f"{config.model} does not turn images into one score a class: {shapes}")
    if any(ours not in (None, theirs) for ours, theirs in zip(shapes[0][1:], image, strict=True)):
        raise ValueError(
            f"{config.model} takes images {shapes[0][1:]}, and those of {config.dataset} are "
            f"{image}: put a Resizing layer in front"
        )
    if shapes[1][1] < classes:
        raise ValueError(
            f"{config.model} has {shapes[1][1]} scores, and {config.dataset} {classes} classes"
        )
    return model


def judged(config):
    """`main` for a command line: RunError where a step fails."""
    report = main(config)
    if report["failed"]:
        failed = ", ".join(report["failed"])
        raise RunError(f"{len(report['failed'])} of {len(STEPS)} steps failed: {failed}")
    return report


def cli(argv=None):
    """Run from a command line; returns the exit code, 1 where a step fails."""
    return recipe.run(judged, Config, argv, name="check", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
