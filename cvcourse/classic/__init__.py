"""The course's first lectures, without a framework: NumPy alone."""

from cvcourse.classic._gradient_check import GradientCheck, gradient_check

__all__ = ["GradientCheck", "gradient_check"]
