"""Forward process of a diffusion model: noise that grows step by step, drawn at once for any step.

Ho et al. 2020, https://arxiv.org/abs/2006.11239, eq. 4: after t steps, each of which keeps 1 - beta
of the variance, x_t = sqrt(a) x_0 + sqrt(1 - a) noise, where a is the product of 1 - beta. Sigmoid
schedule: Jabri et al. 2022, https://arxiv.org/abs/2212.11972, figure 8, with the settings of
CS231n's assignment on DDPM.
"""

import numpy as np

from cvcourse.classic.layers import sigmoid_forward
from cvcourse.classic.shapes import floating, sizes


def sigmoid_schedule(
    timesteps: int, start: float = -3, end: float = 3, tau: float = 1, beta_max: float = 0.999
) -> np.ndarray:
    """Compute the share of the variance that each step replaces by noise.

    What is left of the image's variance after each step falls from 1 to 0 as a sigmoid.

    Args:
        timesteps: Number of steps, T.
        start: Point of the sigmoid before the first step.
        end: Point of the sigmoid after the last step.
        tau: Temperature, by which points are divided: the higher, the more linear the fall.
        beta_max: Largest share; the last step would replace everything.

    Returns:
        Shares beta, (T,).

    >>> betas = sigmoid_schedule(1000)
    >>> np.cumprod(1 - betas)[[0, 499, 998]].round(4).tolist()
    [0.9997, 0.5, 0.0003]
    """
    points = np.linspace(start, end, timesteps + 1) / tau
    curve, _ = sigmoid_forward(points)
    left = (curve[-1] - curve) / (curve[-1] - curve[0])
    return np.clip(1 - left[1:] / left[:-1], 0, beta_max)


def q_sample(
    x_start: np.ndarray, t: np.ndarray, noise: np.ndarray, betas: np.ndarray
) -> np.ndarray:
    """Compute images after their numbers of steps of noise.

    Args:
        x_start: Images, (N, C, H, W).
        t: Number of each image's last step, (N,); 0 is one step.
        noise: Standard normal noise, (N, C, H, W).
        betas: Share of the variance that each step replaces by noise, (T,).

    Returns:
        Noisy images, (N, C, H, W).

    Raises:
        ValueError: If shapes do not fit, or t has a number that is not a step's.

    >>> q_sample(np.ones((1, 1, 1, 1)), np.array([1]), np.zeros((1, 1, 1, 1)), np.array([0.5, 0.5]))
    array([[[[0.5]]]])
    """
    sizes("x_start N C H W, t N, noise N C H W, betas T", x_start, t, noise, betas)
    if t.dtype.kind not in "iu" or not np.isin(t, np.arange(len(betas))).all():
        raise ValueError(f"t is {t}; it has step numbers from 0 to {len(betas) - 1}")
    x_start = floating(x_start)
    left = np.cumprod(1 - betas)[t].reshape(-1, 1, 1, 1)
    scale, spread = (np.sqrt(share).astype(x_start.dtype) for share in (left, 1 - left))
    return scale * x_start + spread * noise
