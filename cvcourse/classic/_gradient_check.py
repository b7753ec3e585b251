"""Gradient check: what backpropagation says against what small steps each way measure.

CS231n notes, "Gradient checks", https://cs231n.github.io/neural-networks-3: central differences in
float64, relative errors, and kinks, such as a ReLU's, where a difference measures neither side.
"""

import dataclasses

STEPS = (1e-5, 1e-6)  # the notes' step, and a tenth: a kink shows by their disagreement
RIGHT = 1e-4  # relative error up to which a gradient is right; the notes' bound for nets with kinks
UNSEEN = 1e-6  # a slope below this share of the loss drowns in the rounding of the loss


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """One parameter: its place in the array, both slopes, and how far they are apart."""

    index: tuple
    analytic: float
    numeric: float
    error: float  # relative: |difference| / max(|one|, |other|), at the better of the two steps
    kink: bool  # the loss bends here, and the comparison says nothing

    @property
    def right(self):
        """Whether the slopes agree."""
        return self.error <= RIGHT


def gradient_check(f, x, gradient, indices):
    """A GradientCheck for each of `indices` into `x`, where f(x) -> loss and `gradient` is like x.

    `x` is a float64 array, changed in place while f is asked and put back. A kink is where the
    slopes disagree, and where the steps disagree with each other or the two sides of one do.
    """
    here = f(x)
    floor = UNSEEN * max(1.0, abs(here))
    return [_check(f, x, here, float(gradient[index]), index, floor) for index in indices]


def _check(f, x, here, analytic, index, floor):
    value, slopes, bends = x[index], [], []
    for step in STEPS:
        x[index] = value + step
        above = f(x)
        x[index] = value - step
        below = f(x)
        x[index] = value
        slopes.append((above - below) / (2 * step))
        bends.append(abs(above - 2 * here + below) / step)
    sizes = [max(abs(analytic), abs(slope), floor) for slope in slopes]
    errors = [abs(analytic - slope) / size for slope, size in zip(slopes, sizes, strict=True)]
    best = min(range(len(STEPS)), key=errors.__getitem__)
    bent = max(abs(slopes[0] - slopes[1]), min(bends)) > RIGHT * sizes[0]
    error = errors[best] if errors[best] == errors[best] else float("inf")
    kink = error > RIGHT and bent
    return GradientCheck(tuple(index), analytic, slopes[best], error, kink)
