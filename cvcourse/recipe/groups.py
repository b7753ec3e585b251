"""Groups of fields that recipes share, with checks of values that exclude each other.

A recipe's Config inherits the groups that it needs, adds its own fields, and overrides defaults:
`epochs: int = 10` keeps the group's help text and range. In Python, fields are keyword arguments.
"""

import dataclasses
import itertools
import math

from cvcourse.deprecation import renamed_arguments
from cvcourse.distribution import STRATEGIES
from cvcourse.recipe.fields import field, renamed

CYCLIC = ("cosine_restarts", "shifted_cosine")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


class FormerNames(type):
    """Class of configs that accept the former name of a field, with a warning."""

    def __call__(cls, *args, **values):
        where = f"{cls.__module__}.{cls.__qualname__}"
        return super().__call__(*args, **renamed_arguments(where, values, renamed(cls)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkdirFields(metaclass=FormerNames):
    """The run directory."""

    workdir: str | None = field(None, "run directory; none: a new one under runs/", free=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFields(WorkdirFields):
    """The run directory and the random seed."""

    seed: int = field(
        0, "random seed of initialization, shuffling and augmentation", least=0, below=2**32
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFields:
    """A network of the registry, or of a user's builder."""

    model: str = field(
        "lenet5",
        "network of cvcourse.models.REGISTRY, or FILE.py:FUNCTION for your own builder",
        source=True,
    )
    model_args: dict = field({}, "arguments of the model's builder, such as width=0.25,depths=1/1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFields:
    """A dataset of images."""

    dataset: str = field(
        "digits",
        "dataset: digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, a folder of images "
        "or an .npz file",
        vouched=True,
    )
    data_dir: str | None = field(None, "folder searched first for published datasets", free=True)
    limit: int | None = field(
        None, "number of examples per split, stratified by class; none: all", least=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionFields:
    """The dtype policy of the layers."""

    precision: str = field("float32", "dtype policy of the layers", choices=PRECISIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitFields(PrecisionFields):
    """Epochs, batch size, optimizer, learning-rate schedule and precision."""

    epochs: int = field(30, "number of epochs", least=1)
    batch_size: int = field(32, "batch size", least=1)
    optimizer: str = field(
        "nesterov",
        "optimizer",
        choices=(
            *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "almost_adam", "adamw"),
            "lbfgs",
        ),
    )
    learning_rate: float = field(0.05, "peak learning rate", above=0)
    schedule: str = field(
        "cosine",
        "learning-rate schedule",
        choices=(
            *("constant", "step", "exponential", "inverse_time", "linear", "cosine"),
            *("inverse_sqrt", "one_cycle", *CYCLIC),
        ),
    )
    weight_decay: float = field(
        5e-4, "weight decay of kernels: coupled L2 as in the papers, decoupled for adamw", least=0
    )
    clip_norm: float | None = field(
        None, "clip gradients to this global norm; none: no clipping", above=0
    )
    checkpoint_minutes: float = field(
        5.0, "minutes between checkpoints within an epoch", above=0, free=True
    )

    def misfits(self):
        if self.optimizer == "lbfgs":
            yield (
                "--optimizer=lbfgs needs the whole dataset at each step, but this recipe trains "
                "on batches: use `cvcourse optimizers`"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleFields:
    """The settings of learning-rate schedules."""

    cycles: int | None = field(
        None, f"number of cycles of {' and '.join(CYCLIC)}; a divisor of --epochs", least=1
    )
    milestones: tuple[float, ...] | None = field(
        None,
        "epochs at which --schedule=step lowers the learning rate, such as 30,60; auto: 50 % and "
        "75 % of the epochs after the warm-up",
        above=0,
    )
    milestone_unit: str = field(
        "epochs",
        "unit of --milestones; a step is an update of the weights",
        choices=("epochs", "steps"),
    )
    factor: float = field(
        0.1,
        "factor by which --schedule=step multiplies the learning rate at a milestone",
        above=0,
        below=1,
    )
    warmup_epochs: float = field(
        0.0, "number of warm-up epochs, in which the learning rate rises linearly", least=0
    )

    def misfits(self):
        if self.cycles and self.epochs and self.epochs % self.cycles:
            yield f"--cycles={self.cycles} does not divide --epochs={self.epochs}"
        of_steps = self.milestones is not None or self.factor != ScheduleFields.factor
        if self.schedule != "step" and of_steps:
            yield (
                "--milestones and --factor need --schedule=step; received "
                f"--schedule={self.schedule}"
            )
        by_epochs = self.milestone_unit == "epochs" and self.milestones is not None
        end = self.epochs or math.inf  # a recipe may fill in its epochs later
        if by_epochs and not _ascend(self.warmup_epochs, *self.milestones, end):
            yield (
                "--milestones must ascend between the "
                f"{self.warmup_epochs:g} epochs of the warm-up and --epochs={self.epochs}; "
                f"received {self.milestones}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoppingFields:
    """Selection of the best epoch, and early stopping."""

    patience: int | None = field(
        None, "stop after this many epochs without improvement; none: never", least=1
    )
    monitor: str = field(
        "val_loss", "metric that selects the best epoch", choices=("val_loss", "val_accuracy")
    )
    min_delta: float = field(
        0.0, "minimum change of --monitor to qualify as an improvement", least=0
    )
    start_from_epoch: int = field(
        0, "number of epochs to wait before starting to monitor improvement", least=0
    )

    def misfits(self):
        if self.start_from_epoch >= self.epochs:
            yield (
                f"--start_from_epoch={self.start_from_epoch} must be below "
                f"--epochs={self.epochs}, or no epoch can be the best"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceFields:
    """The devices and workers of a run."""

    strategy: str = field(
        "auto",
        "distribution strategy; auto: all devices or workers if there are several",
        choices=STRATEGIES,
    )
    cpu_devices: int | None = field(
        None, "number of logical devices that the CPU is split into, to try a strategy", least=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsFields:
    """Published weights of a network."""

    weights: str = field(
        "default", "published weights: a tag of `cvcourse models --pretrained`, or a file"
    )
    weights_dir: str | None = field(None, "folder searched first for files of weights", free=True)
    allow_noncommercial: bool = field(False, "accept weights whose license excludes commercial use")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierFields(WeightsFields):
    """A trained classifier, as `cvcourse.classifier.of` loads it."""

    model: str = field(
        "mobilenet_v2", "network with published weights, run directory, or .keras or .cvz file"
    )
    model_args: dict = field({}, "arguments of the model's builder, such as width=0.25")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFields(RunFields, ScheduleFields, FitFields, DataFields, ModelFields):
    """A trained network to change, or the settings of the training that comes first."""

    source: str | None = field(
        None,
        "trained network to start from: a run directory, or its model.keras; none: train --model "
        "first, in the folder dense of the run",
    )
    input_shape: tuple[int, ...] | None = field(
        None,
        "height,width,channels of the input of --model; auto: by the images and the network",
        least=1,
    )
    dataset: str = field(
        "auto",
        "dataset: mnist, cifar10, a folder of images …, as in `train`; auto: that of the --source, "
        "or the recipe's usual one",
        vouched=True,
    )
    epochs: int = field(30, "number of epochs of the training that comes first", least=1)
    learning_rate: float = field(
        0.05, "peak learning rate of the training that comes first", above=0
    )

    def misfits(self):
        if self.schedule in CYCLIC:
            yield (
                f"--schedule={self.schedule} needs cycles that divide the epochs, but this recipe "
                "has trainings of different lengths"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedsFields(RunFields):
    """The run directory and several random seeds, or one.

    Among the bases of a Config, it must precede those that inherit `RunFields`.
    """

    seeds: tuple[int, ...] | None = field(
        (0, 1, 2),
        "random seeds of the repetitions; auto: one run with --seed",
        least=0,
        below=2**32,
        distinct=True,
    )

    def misfits(self):
        if self.seeds is not None and self.seed != RunFields.seed:
            given = ",".join(map(str, self.seeds))
            yield f"--seed={self.seed} needs --seeds=auto; received --seeds={given}"

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of the repetitions, which may be one."""
        return self.seeds or (self.seed,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheFields:
    """The cache of a frozen network's features."""

    cache_dir: str | None = field(
        None,
        "folder that caches features; none: cvcourse/features in the user's cache folder",
        free=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceFields:
    """A recurrent net or a Transformer, trained by default with Adam and clipped gradients.

    Among the bases of a Config, it must precede `FitFields`.
    """

    units: int = field(
        64, "number of units of a recurrent layer, or of channels of a Transformer", least=1
    )
    depth: int = field(1, "number of recurrent layers or Transformer blocks", least=1)
    num_heads: int = field(
        4,
        "number of attention heads of a Transformer; divides --units",
        least=1,
        renamed_from="heads",
    )
    optimizer: str = "adam"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFields(RunFields, DeviceFields, StoppingFields, ScheduleFields, FitFields):
    """All fields of training, for a recipe with its own data and model."""


def _ascend(*numbers):
    """Return whether each number is larger than the one before."""
    return all(a < b for a, b in itertools.pairwise(numbers))
