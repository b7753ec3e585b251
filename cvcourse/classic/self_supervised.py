"""Similarities and loss of contrastive learning: cosine similarity and SimCLR.

Chen et al. 2020, https://arxiv.org/abs/2002.05709, eq. 1 and algorithm 1: of 2N views, two of each
image, a view's positive is the other view of its image, and the 2N - 2 others are its negatives.
Names are those of CS231n's assignment on self-supervised learning; its `simclr_loss_vectorized` is
`simclr_loss` here, with gradients.
"""

import numpy as np

from cvcourse.classic.losses import softmax_loss
from cvcourse.classic.shapes import sizes


def sim(z_i: np.ndarray, z_j: np.ndarray) -> float:
    """Compute the cosine similarity of two vectors.

    Args:
        z_i: A vector, (D,).
        z_j: Another one, (D,).

    Returns:
        Cosine of the angle between them; of a vector of zeros, 0.

    >>> round(sim(np.array([1.0, 0.0]), np.array([1.0, 1.0])), 4)
    0.7071
    """
    sizes("z_i D, z_j D", z_i, z_j)
    return float(np.dot(*_normalized(np.stack([z_i, z_j]))[0]))


def cosine_similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute the cosine similarity of each row of x and each row of y.

    Args:
        x: Vectors, such as those of texts, (M, D).
        y: Vectors, such as those of images, (N, D).

    Returns:
        Similarities, (M, N).

    >>> cosine_similarity(np.eye(2), np.array([[2.0, 0.0]]))
    array([[1.],
           [0.]])
    """
    sizes("x M D, y N D", x, y)
    return _normalized(x)[0] @ _normalized(y)[0].T


def sim_positive_pairs(out_left: np.ndarray, out_right: np.ndarray) -> np.ndarray:
    """Compute the cosine similarity of the two views of each image.

    Args:
        out_left: Vectors of the first views, (N, D).
        out_right: Vectors of the second views, (N, D).

    Returns:
        Similarities, (N, 1).

    >>> sim_positive_pairs(np.eye(2), np.array([[2.0, 0.0], [1.0, 0.0]]))
    array([[1.],
           [0.]])
    """
    sizes("out_left N D, out_right N D", out_left, out_right)
    return (_normalized(out_left)[0] * _normalized(out_right)[0]).sum(axis=1, keepdims=True)


def compute_sim_matrix(out: np.ndarray) -> np.ndarray:
    """Compute the cosine similarity of all pairs of rows.

    Args:
        out: Vectors, (2N, D): of the first views, then of the second.

    Returns:
        Similarities, (2N, 2N).

    >>> compute_sim_matrix(np.array([[1.0, 0.0], [0.0, 3.0]]))
    array([[1., 0.],
           [0., 1.]])
    """
    return cosine_similarity(out, out)


def simclr_loss_naive(out_left: np.ndarray, out_right: np.ndarray, tau: float) -> float:
    """Compute `simclr_loss` with loops.

    Args:
        out_left: Vectors of the first views, (N, D).
        out_right: Vectors of the second views, (N, D).
        tau: Temperature.

    Returns:
        The loss.

    >>> round(simclr_loss_naive(np.eye(2), np.eye(2), tau=1.0), 4)
    0.5514
    """
    n = sizes("out_left N D, out_right N D", out_left, out_right)["N"]
    views = [*out_left, *out_right]
    loss = 0.0
    for k, view in enumerate(views):
        powers = [np.exp((sim(view, other) - 1) / tau) for other in views]  # at most 1
        loss -= np.log(powers[(k + n) % (2 * n)] / (sum(powers) - powers[k]))
    return float(loss / (2 * n))


def simclr_loss(
    out_left: np.ndarray, out_right: np.ndarray, tau: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Compute the softmax loss of finding each view's positive among the other views.

    Args:
        out_left: Vectors of the first views, (N, D).
        out_right: Vectors of the second views, (N, D).
        tau: Temperature, by which similarities are divided.

    Returns:
        The loss, the mean over all views, and its gradients with respect to the vectors.

    Raises:
        ValueError: If shapes do not fit, or the temperature is not positive.

    >>> loss, dleft, dright = simclr_loss(np.eye(2), np.eye(2), tau=1.0)
    >>> round(loss, 4)
    0.5514
    """
    n = sizes("out_left N D, out_right N D", out_left, out_right)["N"]
    if tau <= 0:
        raise ValueError(f"tau is {tau}; it is a temperature above 0")
    unit, lengths = _normalized(np.concatenate([out_left, out_right]))
    scores = unit @ unit.T / tau
    np.fill_diagonal(scores, -np.inf)  # a view is not among its own choices
    loss, dscores = softmax_loss(scores, np.roll(np.arange(2 * n), n))
    dunit = (dscores + dscores.T) @ unit / tau  # a view is in a row and in a column
    # Only the part across a vector turns it.
    dout = (dunit - (dunit * unit).sum(axis=1, keepdims=True) * unit) / lengths
    return loss, dout[:n], dout[n:]


def _normalized(x):
    """Return rows of length 1, and their lengths, (N, 1); a row of zeros stays."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    lengths = np.where(lengths == 0, 1, lengths)
    return x / lengths, lengths
