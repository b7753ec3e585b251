"""The course's first steps, before any framework: NumPy alone."""

from cvcourse.classic._gradient_check import GradientCheck, gradient_check

__all__ = ["GradientCheck", "gradient_check"]
