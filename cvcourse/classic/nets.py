"""Nets of the assignments: a list of layers, a softmax loss, and an L2 penalty on the weights.

CS231n, assignments 1 and 2; https://cs231n.github.io/neural-networks-case-study. A net runs its
list of layers forward and keeps their caches; the backward pass takes the list in reverse. The
penalty is half of `reg` times the sum of the squared weights: biases, scales and shifts are free.
Weights begin as Gaussian numbers of standard deviation `weight_scale`, or, if it is None, sqrt(2/n)
for the n inputs of a unit: He et al. 2015, https://arxiv.org/abs/1502.01852, eq. 10.
`convolutional_net.py` and `captioning_rnn.py` have the nets of images and of captions.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cvcourse.classic import dropout, layers, normalization
from cvcourse.classic.losses import softmax_loss

AFFINE = layers.affine_forward, layers.affine_backward
RELU = layers.relu_forward, layers.relu_backward
DROPOUT = dropout.dropout_forward, dropout.dropout_backward
NORMALIZATIONS = {
    "batchnorm": (normalization.batchnorm_forward, normalization.batchnorm_backward),
    "layernorm": (normalization.layernorm_forward, normalization.layernorm_backward),
}
# Forward and backward pass, names of the parameters, and further arguments of the forward pass.
Layer = tuple[tuple[Callable, Callable], tuple[str, ...], tuple[Any, ...]]
Rng = np.random.Generator | int | None


class Net:
    """Chain of layers with a softmax loss; a subclass makes the parameters and lists the layers.

    Args:
        params: {name: array}; a name of weights, which the penalty includes, begins with W.
        reg: Strength of the L2 penalty.
        dtype: Floating-point type of parameters and computations.

    >>> class Linear(Net):
    ...     def layers(self, mode):
    ...         yield AFFINE, ("W", "b"), ()
    >>> net = Linear({"W": np.zeros((2, 3)), "b": np.zeros(3)}, reg=0.0, dtype=np.float64)
    >>> net.loss(np.ones((1, 2)), np.array([0]))[1]["b"].round(3)
    array([-0.667,  0.333,  0.333])
    """

    def __init__(self, params: dict[str, np.ndarray], reg: float, dtype: DTypeLike):
        self.params = {name: value.astype(dtype) for name, value in params.items()}
        self.reg, self.dtype = float(reg), dtype
        self.bn_params: list[dict[str, Any]] = []  # running statistics are no parameters

    def layers(self, mode: str) -> Iterator[Layer]:
        """Yield the layers, in order, for "train" or "test" mode."""
        raise NotImplementedError

    def loss(self, X: np.ndarray, y: np.ndarray | None = None) -> Any:
        """Compute the scores in test mode, or the loss and its gradients in train mode.

        Args:
            X: Inputs, (N, ...).
            y: Class numbers, (N,); None: scores.

        Returns:
            The scores (N, C) if y is None; otherwise the loss, and {parameter: gradient}.
        """
        out, caches = np.asarray(X, self.dtype), []
        for (forward, backward), names, settings in self.layers("test" if y is None else "train"):
            out, cache = forward(out, *(self.params[name] for name in names), *settings)
            caches.append((backward, cache, names))
        if y is None:
            return out
        loss, dout = softmax_loss(out, y)
        grads: dict[str, np.ndarray] = {}
        for backward, cache, names in reversed(caches):
            found = backward(dout, cache)
            dout, *slopes = found if names else (found,)
            grads.update(zip(names, slopes, strict=True))
        for name, w in self.params.items():
            if name.startswith("W"):
                loss += 0.5 * self.reg * float(np.sum(w * w))
                grads[name] = grads[name] + self.reg * w
        return loss, grads


class FullyConnectedNet(Net):
    """Fully connected net of any depth: (affine - norm? - relu - dropout?)* - affine.

    Its parameters are W1, b1, W2, b2, ..., with normalization also gamma1, beta1, ...

    Args:
        hidden_dims: Number of units of each hidden layer; none: a linear classifier.
        input_dim: Number of values of an input.
        num_classes: Number of classes.
        dropout_keep_ratio: Probability of keeping a unit; 1: no dropout.
        normalization: "batchnorm", "layernorm" or None.
        reg: Strength of the L2 penalty.
        weight_scale: Standard deviation of the initial weights; None: that of He et al.
        dtype: Floating-point type of parameters and computations.
        seed: Seed of dropout, for the same units at each call, as a gradient check needs; None:
            other units at each call.
        rng: Seed or generator of the weights, and of dropout without a seed.

    >>> net = FullyConnectedNet([100, 50], rng=0)
    >>> sorted(net.params), net.params["W2"].shape
    (['W1', 'W2', 'W3', 'b1', 'b2', 'b3'], (100, 50))
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3 * 32 * 32,
        num_classes: int = 10,
        dropout_keep_ratio: float = 1,
        normalization: str | None = None,
        reg: float = 0.0,
        weight_scale: float | None = 1e-2,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        rng: Rng = None,
    ):
        if normalization not in (None, *NORMALIZATIONS):
            raise ValueError(
                f"normalization is {normalization!r}; it is {', '.join(NORMALIZATIONS)} or None"
            )
        self.num_layers, self.normalization = len(hidden_dims) + 1, normalization
        self.keep, self.seed, self.rng = dropout_keep_ratio, seed, np.random.default_rng(rng)
        dims = [input_dim, *hidden_dims, num_classes]
        params: dict[str, np.ndarray] = {}
        for i, shape in enumerate(itertools.pairwise(dims), 1):
            params |= affine_parameters(i, shape, weight_scale, self.rng)
            if normalization and i < self.num_layers:
                params |= {f"gamma{i}": np.ones(shape[1]), f"beta{i}": np.zeros(shape[1])}
        super().__init__(params, reg, dtype)
        if normalization == "batchnorm":
            self.bn_params = [{} for _ in hidden_dims]

    def layers(self, mode: str) -> Iterator[Layer]:
        """Yield the layers, in order, for "train" or "test" mode."""
        for i in range(1, self.num_layers):
            yield AFFINE, (f"W{i}", f"b{i}"), ()
            if self.normalization:
                param = self.bn_params[i - 1] if self.bn_params else {}
                param["mode"] = mode
                yield NORMALIZATIONS[self.normalization], (f"gamma{i}", f"beta{i}"), (param,)
            yield RELU, (), ()
            if self.keep != 1:
                source = {"rng": self.rng} if self.seed is None else {"seed": [self.seed, i]}
                yield DROPOUT, (), ({"mode": mode, "p": self.keep, **source},)
        yield AFFINE, (f"W{self.num_layers}", f"b{self.num_layers}"), ()


class TwoLayerNet(FullyConnectedNet):
    """Net with one hidden layer: affine - relu - affine - softmax.

    Args:
        input_dim: Number of values of an input.
        hidden_dim: Number of hidden units.
        num_classes: Number of classes.
        weight_scale: Standard deviation of the initial weights; None: that of He et al.
        reg: Strength of the L2 penalty.
        dtype: Floating-point type of parameters and computations.
        rng: Seed or generator of the weights.

    >>> net = TwoLayerNet(input_dim=4, hidden_dim=10, num_classes=3, rng=0)
    >>> net.loss(np.ones((5, 4))).shape
    (5, 3)
    """

    def __init__(
        self,
        input_dim: int = 3 * 32 * 32,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float | None = 1e-3,
        reg: float = 0.0,
        dtype: DTypeLike = np.float64,
        rng: Rng = None,
    ):
        super().__init__(
            *([hidden_dim], input_dim, num_classes, 1, None, reg, weight_scale, dtype), rng=rng
        )


def affine_parameters(i, shape, weight_scale, rng):
    """Initialize the i-th affine layer of this shape of weights (inputs, units)."""
    scale = standard_deviation(weight_scale, shape[0])
    return {f"W{i}": rng.normal(0, scale, shape), f"b{i}": np.zeros(shape[1])}


def standard_deviation(weight_scale, inputs):
    """Return the standard deviation of the initial weights of a unit with this many inputs."""
    return np.sqrt(2 / inputs) if weight_scale is None else weight_scale
