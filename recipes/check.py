"""Check a model, its data and its settings before a long run: the training doctor's six checks.

    cvcourse check --dataset=digits
    cvcourse check --model=resnet20 --dataset=cifar10 --batch_size=128 --learning_rate=0.1
    cvcourse check --model=mine.keras --dataset=photos/ --steps=initial_loss,memorize

The checks are those of the course. All flags of `train` are accepted, and the network may be a
.keras file. For each step, a verdict and what to change are printed; check.json and report.html are
written; the exit code is 1 if a step fails. The steps:

    initial_loss    the initial loss is that of a guess: ln K for softmax, K - 1 for hinge
    memorize        the model can overfit a few examples
    learning_rate   the loss decreases at --learning_rate, for unseen images too; a range test
    updates         a step changes all weights by about 1/1000; no dead or saturated units, no
                    vanishing or exploding gradients
    gradients       the gradient equals numerical differences in float64
    pipeline        steps do not wait for data
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
EXAMPLES = 32  # to overfit
FEW = 8  # for the gradients
HELD_OUT = 500  # unseen images, at most, of the learning-rate step
FOR_BUILDERS = ("model_args", "input_shape", "dropout", "stochastic_depth")  # not for a .keras file
WITHOUT_SCHEDULE = dict(schedule="constant", warmup_epochs=0.0, cycles=None, average="none")


@dataclasses.dataclass(frozen=True)
class Config(train.Config):
    """Settings of the run to examine, and of the examination."""

    model: str = recipe.field(
        "lenet5",
        "network of cvcourse.models.REGISTRY, FILE.py:FUNCTION for your own builder, or a .keras "
        "file from raw images to logits",
        source=True,
    )
    steps: tuple[str, ...] = recipe.field(STEPS, "steps of the examination to run", choices=STEPS)
    range_steps: int = recipe.field(
        100,
        "number of training steps of the range test, and of the test at --learning_rate",
        least=20,
    )


def main(config: Config) -> dict:
    """Examine, print the verdicts, write check.json and report.html.

    Args:
        config: Config.

    Returns:
        The contents of check.json, and the path `workdir`.

    Raises:
        UsageError: For a wrong value, or the workdir of another run.
        RunError: For errors in data or files.
    """
    config = recipe.check(config)
    if config.strategy not in ("auto", "none"):
        raise UsageError("check runs on a single device: leave --strategy out")
    recipe.finished_metrics(config, "check")
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, models, training
    from cvcourse.training import doctor

    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        if not is_file(config.model):
            models.builder_args(config.model)  # fail before data are read
        dataset = data.of(config)
        images, classes = len(dataset.train), dataset.num_classes
        if images < classes:
            raise ValueError(f"{images} training images for {classes} classes: raise --limit")
        model = load(config, dataset) if is_file(config.model) else train.build(config, dataset)
        setting = train.resolve(config, dataset)
        compiled = functools.partial(
            train.compiled,
            dataclasses.replace(setting, **WITHOUT_SCHEDULE),
            model,
            data.steps_per_epoch(dataset.train, setting.batch_size),
        )
        compiled()
    chance = math.log(classes) if config.loss == "softmax" else classes - 1.0

    words = pathlib.Path(config.model).stem, config.dataset
    with recipe.open_run(config, "check", *words) as run:
        run.begin()
        begin = time.monotonic()
        findings = []
        with data.report_corrupt_images(dataset), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the steps report what Keras warns about
            for name, examine in examination(setting, dataset, model, chance).items():
                if name in config.steps:
                    findings.append(examine())
                    print(findings[-1], flush=True)
                else:
                    findings.append(doctor.Finding(name, doctor.SKIP))
                if name == "memorize":  # it compiles the model with its own optimizer
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
            config={**dataclasses.asdict(setting), "workdir": run.config.workdir},
            lead=[f"Examined in {seconds:.0f} s."],
            **training.examination_sections(findings, chance),
            file="check.json",
        )
        return report


def examination(config, dataset, model, chance):
    """Return the steps by name: functions () -> Finding."""
    import numpy as np

    from cvcourse import data, optimization
    from cvcourse.training import doctor

    batches = functools.partial(
        train.stream, config, dataset, dataset.train, augment=config.augment
    )

    def some(split, count):
        """Return random images and labels of a split, without augmentation."""
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
    """Return whether --model is a file rather than a network of the registry."""
    return model.endswith(".keras")


def load(config, dataset):
    """Load the model in a file, for a dataset's raw images.

    Raises ValueError if it does not fit them, RunError if the file is not a model.
    """
    import cvcourse.layers  # noqa: F401  its layers may be in the file
    from cvcourse.saved_model import read_model

    default = Config()
    for name in FOR_BUILDERS:
        if getattr(config, name) != getattr(default, name):
            raise ValueError(f"--{name} is for networks of the registry, not for {config.model}")
    model = read_model(config.model)
    shapes = [tensor.shape for tensor in (*model.inputs, *model.outputs)]
    image, classes = dataset.input_shape, dataset.num_classes
    if len(shapes) != 2 or len(shapes[0]) != 4 or len(shapes[1]) != 2:
        raise ValueError(f"{config.model} does not map images to one score per class: {shapes}")
    if any(ours not in (None, theirs) for ours, theirs in zip(shapes[0][1:], image, strict=True)):
        raise ValueError(
            f"{config.model} takes images of shape {shapes[0][1:]}, but {config.dataset} has "
            f"{image}: begin the model with a Resizing layer"
        )
    if shapes[1][1] < classes:
        raise ValueError(
            f"{config.model} has {shapes[1][1]} outputs, but {config.dataset} has {classes} classes"
        )
    return model


def judged(config):
    """Run `main` for a command line; raises RunError if a step fails."""
    report = main(config)
    if report["failed"]:
        failed = ", ".join(report["failed"])
        raise RunError(f"{len(report['failed'])} of {len(STEPS)} steps failed: {failed}")
    return report


def cli(argv=None):
    """Run from a command line; return the exit code, 1 if a step fails."""
    return recipe.run(judged, Config, argv, name="check", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
