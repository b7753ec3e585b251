"""Losses, optimizers, schedules and weight decay by their names in the course."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.optimization._discriminative_rates import discriminative_rates
from cvcourse.optimization._flat_weights import Objective, flat_weights, set_flat_weights
from cvcourse.optimization._lbfgs import lbfgs
from cvcourse.optimization._learning_rate_range import LearningRateRange, learning_rate_range
from cvcourse.optimization._newton import newton
from cvcourse.optimization.course_optimizers import (
    AlmostAdam,
    CourseAdagrad,
    CourseAdam,
    CourseAdamW,
    CourseRMSprop,
    CourseSGD,
)
from cvcourse.optimization.learning_rate_grid import lowest_run, runs_by_rate
from cvcourse.optimization.losses import LOSSES, MulticlassSVM
from cvcourse.optimization.optimizers import OPTIMIZERS, of, optimizer
from cvcourse.optimization.schedules import (
    CYCLIC,
    EXTENDABLE,
    FACTOR,
    SCHEDULES,
    Shifted,
    linear_scaling,
    sampled_schedule,
    schedule,
    schedule_of,
)
from cvcourse.optimization.surfaces import SURFACE_STEPS, SURFACES, Surface, surface_path
from cvcourse.optimization.weight_decay import l2_on_kernels

__all__ = [
    "CYCLIC",
    "EXTENDABLE",
    "FACTOR",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "SURFACES",
    "SURFACE_STEPS",
    "AlmostAdam",
    "CourseAdagrad",
    "CourseAdam",
    "CourseAdamW",
    "CourseRMSprop",
    "CourseSGD",
    "LearningRateRange",
    "MulticlassSVM",
    "Objective",
    "Shifted",
    "Surface",
    "discriminative_rates",
    "flat_weights",
    "l2_on_kernels",
    "lbfgs",
    "learning_rate_range",
    "linear_scaling",
    "lowest_run",
    "newton",
    "of",
    "optimizer",
    "runs_by_rate",
    "sampled_schedule",
    "schedule",
    "schedule_of",
    "set_flat_weights",
    "surface_path",
]

__getattr__ = renamed_attributes(
    __name__,
    SGD="CourseSGD",
    Adagrad="CourseAdagrad",
    RMSprop="CourseRMSprop",
    Adam="CourseAdam",
    AdamW="CourseAdamW",
)
