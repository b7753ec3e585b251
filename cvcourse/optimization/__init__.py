"""Losses, optimizers, schedules and weight decay by the names the course gives them."""

from cvcourse.optimization.course_optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    AlmostAdam,
    RMSprop,
)
from cvcourse.optimization.discriminative_rates import discriminative_rates
from cvcourse.optimization.flat_weights import Objective, flat_weights, set_flat_weights
from cvcourse.optimization.lbfgs import lbfgs
from cvcourse.optimization.learning_rate_grid import lowest_run, runs_by_rate
from cvcourse.optimization.learning_rate_range import LearningRateRange, learning_rate_range
from cvcourse.optimization.losses import LOSSES, MulticlassSVM
from cvcourse.optimization.newton import newton
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
    "SGD",
    "SURFACES",
    "SURFACE_STEPS",
    "Adagrad",
    "Adam",
    "AdamW",
    "AlmostAdam",
    "LearningRateRange",
    "MulticlassSVM",
    "Objective",
    "RMSprop",
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
