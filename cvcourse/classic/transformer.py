"""Forward and backward passes of Transformer layers: encoder and decoder, post-norm, with GELU.

Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1: each block of a layer adds its
input to its output, and then normalizes. Blocks are attention, and two affine layers with an
activation between them, here the exact GELU, as in the assignments; there is no dropout. Parameters
are a flat {name: array}, and their gradients have the same names:

* self.wq, self.bq, ..., cross.wq, ...: the attention blocks' weights, see `attention.py`;
* w1, b1, w2, b2: the affine layers, (D, M), (M,), (M, D) and (D,);
* gamma1, beta1, gamma2, ...: scale and shift of the norms in their order, (D,).
"""

from typing import Any

import numpy as np

from cvcourse.classic.attention import (
    multi_head_attention_backward,
    multi_head_attention_forward,
)
from cvcourse.classic.gelu import gelu_backward, gelu_forward
from cvcourse.classic.normalization import layernorm_backward, layernorm_forward
from cvcourse.classic.shapes import sizes
from cvcourse.classic.temporal import temporal_affine_backward, temporal_affine_forward

Params = dict[str, np.ndarray]


def layer_params(
    features: int, hidden: int, cross: bool = False, scale: float = 0.02, seed: int = 0
) -> Params:
    """Draw parameters of a layer: normal weights, biases and shifts 0, scales 1.

    Args:
        features: D, the features of inputs and outputs.
        hidden: M, the features between the affine layers.
        cross: Whether the layer is a decoder's, with attention to a memory.
        scale: Standard deviation of the weights.
        seed: Seed of the weights.

    Returns:
        {name: array}.

    >>> sum(array.size for array in layer_params(512, 2048).values())  # Vaswani et al.'s encoder
    3152384
    """
    blocks = ["self", "cross"] if cross else ["self"]
    shapes = {f"{block}.w{i}": (features, features) for block in blocks for i in "qkvo"}
    shapes |= {"w1": (features, hidden), "w2": (hidden, features)}
    rng = np.random.default_rng(seed)
    params = {name: rng.normal(0, scale, shape) for name, shape in shapes.items()}
    params |= {name.replace("w", "b"): np.zeros(shape[1]) for name, shape in shapes.items()}
    for norm in range(1, len(blocks) + 2):
        params |= {f"gamma{norm}": np.ones(features), f"beta{norm}": np.zeros(features)}
    return params


def encoder_layer_forward(
    x: np.ndarray, params: Params, num_heads: int, mask: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    """Compute an encoder layer: self-attention and affine layers.

    Args:
        x: Inputs, (N, S, D).
        params: Parameters with the names above.
        num_heads: Number of heads.
        mask: True where position i may look at position j, (S, S); none: everywhere.

    Returns:
        The outputs, (N, S, D), and a cache.

    >>> x = np.array([[[0.0, 2.0]]])
    >>> encoder_layer_forward(x, layer_params(2, 8), num_heads=1)[0].round(3)
    array([[[-1.,  1.]]])
    """
    x, attention_cache = _attention_forward(x, x, params, "self", 1, num_heads, mask)
    x, affine_cache = _affines_forward(x, params, 2)
    return x, (attention_cache, affine_cache)


def encoder_layer_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, Params]:
    """Compute the gradients of `encoder_layer_forward`.

    Args:
        dout: Gradient of the outputs, (N, S, D).
        cache: Cache of the forward pass.

    Returns:
        Gradient of x, and {name: gradient} of params.

    >>> out, cache = encoder_layer_forward(np.array([[[0.0, 2.0]]]), layer_params(2, 8), 1)
    >>> encoder_layer_backward(np.ones((1, 1, 2)), cache)[1]["beta2"]
    array([1., 1.])
    """
    attention_cache, affine_cache = cache
    dx, affine_grads = _affines_backward(dout, affine_cache)
    dx, dmemory, grads = _attention_backward(dx, attention_cache)
    return dx + dmemory, grads | affine_grads


def decoder_layer_forward(
    target: np.ndarray,
    memory: np.ndarray,
    params: Params,
    num_heads: int,
    mask: np.ndarray | None = None,
) -> tuple[np.ndarray, Any]:
    """Compute a decoder layer: self-attention, attention to a memory, and affine layers.

    Args:
        target: Inputs, (N, S, D).
        memory: Outputs of an encoder, (N, T, D).
        params: Parameters with the names above.
        num_heads: Number of heads.
        mask: True where position i of the target may look at its position j, (S, S); none:
            everywhere. `np.tri(S, dtype=bool)` hides later positions.

    Returns:
        The outputs, (N, S, D), and a cache.

    >>> x, memory, params = np.array([[[0.0, 2.0]]]), np.zeros((1, 3, 2)), layer_params(2, 8, True)
    >>> decoder_layer_forward(x, memory, params, num_heads=1)[0].round(3)
    array([[[-1.,  1.]]])
    """
    x, self_cache = _attention_forward(target, target, params, "self", 1, num_heads, mask)
    x, cross_cache = _attention_forward(x, memory, params, "cross", 2, num_heads, None)
    x, affine_cache = _affines_forward(x, params, 3)
    return x, (self_cache, cross_cache, affine_cache)


def decoder_layer_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray, Params]:
    """Compute the gradients of `decoder_layer_forward`.

    Args:
        dout: Gradient of the outputs, (N, S, D).
        cache: Cache of the forward pass.

    Returns:
        Gradients of target and memory, and {name: gradient} of params.

    >>> x, memory, params = np.array([[[0.0, 2.0]]]), np.zeros((1, 3, 2)), layer_params(2, 8, True)
    >>> out, cache = decoder_layer_forward(x, memory, params, num_heads=1)
    >>> decoder_layer_backward(out, cache)[1].shape
    (1, 3, 2)
    """
    self_cache, cross_cache, affine_cache = cache
    dx, affine_grads = _affines_backward(dout, affine_cache)
    dx, dmemory, cross_grads = _attention_backward(dx, cross_cache)
    dx, dtarget, grads = _attention_backward(dx, self_cache)
    return dx + dtarget, dmemory, grads | cross_grads | affine_grads


def _attention_forward(x, memory, params, block, norm, num_heads, mask):
    prefix = f"{block}."
    own = {name[len(prefix) :]: w for name, w in params.items() if name.startswith(prefix)}
    y, cache = multi_head_attention_forward(x, memory, memory, own, num_heads, mask)
    out, norm_cache = _norm_forward(x + y, params, norm)
    return out, (prefix, cache, norm_cache)


def _attention_backward(dout, cache):
    prefix, cache, norm_cache = cache
    dsum, norm_grads = _norm_backward(dout, norm_cache)
    dx, dkey, dvalue, own = multi_head_attention_backward(dsum, cache)
    return dsum + dx, dkey + dvalue, {prefix + name: w for name, w in own.items()} | norm_grads


def _affines_forward(x, params, norm):
    affines = [params[name] for name in ("w1", "b1", "w2", "b2")]
    sizes("x N S D, w1 D M, b1 M, w2 M D, b2 D", x, *affines)
    y, first = temporal_affine_forward(x, params["w1"], params["b1"])
    y, gelu = gelu_forward(y)
    y, second = temporal_affine_forward(y, params["w2"], params["b2"])
    out, norm_cache = _norm_forward(x + y, params, norm)
    return out, (first, gelu, second, norm_cache)


def _affines_backward(dout, cache):
    first, gelu, second, norm_cache = cache
    dsum, grads = _norm_backward(dout, norm_cache)
    dy, grads["w2"], grads["b2"] = temporal_affine_backward(dsum, second)
    dx, grads["w1"], grads["b1"] = temporal_affine_backward(gelu_backward(dy, gelu), first)
    return dsum + dx, grads


def _norm_forward(x, params, norm):
    out, cache = layernorm_forward(x, params[f"gamma{norm}"], params[f"beta{norm}"], {})
    return out, (norm, cache)


def _norm_backward(dout, cache):
    norm, cache = cache
    dx, dgamma, dbeta = layernorm_backward(dout, cache)
    return dx, {f"gamma{norm}": dgamma, f"beta{norm}": dbeta}
