"""The course's first half by hand: NumPy alone, a file for each idea, names of the assignments."""

from cvcourse.classic._gradient_check import GradientCheck, gradient_check

__all__ = ["GradientCheck", "gradient_check"]
