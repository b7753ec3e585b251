"""Groups of fields that recipes share: fields and what does not go together, no other behavior.

A recipe's Config inherits the groups that it needs, adds its own fields, and states other defaults
as plain defaults: `epochs: int = 10` keeps the group's help text and range. In Python they are
given by name.
"""

import dataclasses
import itertools

from cvcourse.distribution import STRATEGIES
from cvcourse.recipe.fields import field

CYCLIC = ("cosine_restarts", "shifted_cosine")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkdirFields:
    """Where a run lies."""

    workdir: str | None = field(
        None, "the run's directory; none: a fresh one under runs/", free=True
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFields(WorkdirFields):
    """Where a run lies, and what it draws its random numbers from."""

    seed: int = field(0, "seed of weights, order and augmentation", least=0, below=2**32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFields:
    """A network of the registry, or of a builder of one's own."""

    model: str = field(
        "lenet5",
        "a network of cvcourse.models.REGISTRY, or FILE.py:FUNCTION that builds one of your own",
        source=True,
    )
    model_args: dict = field({}, "its builder's knobs, such as width=0.25,depths=1/1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFields:
    """A data set of images."""

    dataset: str = field(
        "digits",
        "digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, a folder or an .npz",
        vouched=True,
    )
    data_dir: str | None = field(None, "where published data sets are looked for first", free=True)
    limit: int | None = field(
        None, "N examples of each split, of every class: a smoke run", least=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionFields:
    """What layers compute in."""

    precision: str = field("float32", "dtype policy of the layers", choices=PRECISIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitFields(PrecisionFields):
    """How a model is fit: passes, batches, update rule, precision."""

    epochs: int = field(30, "passes over the training split", least=1)
    batch_size: int = field(32, "examples a step", least=1)
    optimizer: str = field(
        "nesterov",
        "update rule",
        choices=(
            *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "almost_adam", "adamw"),
            "lbfgs",
        ),
    )
    learning_rate: float = field(0.05, "the highest learning rate of the run", above=0)
    schedule: str = field(
        "cosine",
        "learning-rate schedule",
        choices=(
            *("constant", "step", "exponential", "inverse_time", "linear", "cosine"),
            *("inverse_sqrt", "one_cycle", *CYCLIC),
        ),
    )
    weight_decay: float = field(
        5e-4, "on kernels: coupled L2, as in the papers; decoupled for adamw", least=0
    )
    clip_norm: float | None = field(
        None, "largest norm of all gradients of a step together; larger ones are scaled", above=0
    )
    checkpoint_minutes: float = field(
        5.0, "minutes between checkpoints inside an epoch", above=0, free=True
    )

    def misfits(self):
        if self.optimizer == "lbfgs":
            yield (
                "--optimizer=lbfgs sees the whole data set at each step, and this recipe sees "
                "batches: `cvcourse optimizers` runs it"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleFields:
    """The settings of learning-rate schedules."""

    cycles: int | None = field(
        None, f"number of cycles of {' and '.join(CYCLIC)}; divides --epochs", least=1
    )
    milestones: tuple[float, ...] | None = field(
        None,
        "of --schedule=step: when the rate drops, in epochs from the start of the run, as 30,60; "
        "auto: at 50 % and 75 % of what follows the warm-up",
        above=0,
    )
    milestone_unit: str = field(
        "epochs",
        "what --milestones count; steps are updates of the weights",
        choices=("epochs", "steps"),
    )
    factor: float = field(
        0.1, "of --schedule=step: what the rate is multiplied by at a milestone", above=0, below=1
    )
    warmup_epochs: float = field(
        0.0, "epochs of linearly rising learning rate before the schedule", least=0
    )

    def misfits(self):
        if self.cycles and self.epochs % self.cycles:
            yield f"--cycles={self.cycles} does not divide --epochs={self.epochs}"
        of_steps = self.milestones is not None or self.factor != ScheduleFields.factor
        if self.schedule != "step" and of_steps:
            yield (
                "--milestones and --factor are of --schedule=step; received "
                f"--schedule={self.schedule}"
            )
        by_epochs = self.milestone_unit == "epochs" and self.milestones is not None
        if by_epochs and not _ascend(self.warmup_epochs, *self.milestones, self.epochs):
            yield (
                f"--milestones={self.milestones} do not ascend between the "
                f"{self.warmup_epochs:g} epochs of the warm-up and --epochs={self.epochs}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoppingFields:
    """Which epoch is the best, and when training stops early."""

    patience: int | None = field(
        None, "stop after this many epochs without improvement; none: never", least=1
    )
    monitor: str = field(
        "val_loss", "metric that selects the best epoch", choices=("val_loss", "val_accuracy")
    )
    min_delta: float = field(0.0, "smallest change of --monitor that is an improvement", least=0)
    start_from_epoch: int = field(
        0, "epochs that cannot be the best and use up no patience", least=0
    )

    def misfits(self):
        if self.start_from_epoch >= self.epochs:
            yield (
                f"--start_from_epoch={self.start_from_epoch} leaves none of "
                f"--epochs={self.epochs} to be the best"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceFields:
    """Where a model is trained."""

    strategy: str = field(
        "auto", "where to train; auto: several devices or workers if there are", choices=STRATEGIES
    )
    cpu_devices: int | None = field(
        None, "split the CPU into so many devices, to try a strategy", least=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsFields:
    """Published weights of a network."""

    weights: str = field("default", "a tag of `cvcourse models --pretrained`, or a file")
    weights_dir: str | None = field(None, "where files of weights are looked for first", free=True)
    allow_noncommercial: bool = field(False, "take weights that are not for commerce, too")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheFields:
    """Where the features of a frozen network are kept."""

    cache_dir: str | None = field(
        None,
        "where features are kept; none: cvcourse/features in the user's cache",
        free=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceFields:
    """A recurrent net or a Transformer, trained by default with Adam and clipped gradients.

    It comes before `FitFields` among a Config's bases.
    """

    units: int = field(64, "units of a recurrent layer, or channels of a Transformer", least=1)
    depth: int = field(1, "number of recurrent layers or Transformer blocks", least=1)
    heads: int = field(4, "number of attention heads of a Transformer; divides --units", least=1)
    optimizer: str = "adam"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFields(RunFields, DeviceFields, StoppingFields, ScheduleFields, FitFields):
    """All of a training whose data and model are the recipe's own."""


def _ascend(*numbers):
    """Whether each is larger than the one before."""
    return all(a < b for a, b in itertools.pairwise(numbers))
