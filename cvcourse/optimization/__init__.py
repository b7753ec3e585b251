"""Optimizers, schedules and weight decay by the names the course gives them."""

from cvcourse.optimization.optimizers import OPTIMIZERS, optimizer
from cvcourse.optimization.schedules import EXTENDABLE, SCHEDULES, schedule
from cvcourse.optimization.weight_decay import l2_on_kernels

__all__ = ["EXTENDABLE", "OPTIMIZERS", "SCHEDULES", "l2_on_kernels", "optimizer", "schedule"]
