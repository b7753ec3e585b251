"""Forward and backward passes of scaled dot-product and multi-head attention.

Vaswani et al. 2017, https://arxiv.org/abs/1706.03762: softmax(q k' / sqrt(D)) v is eq. 1, several
heads are section 3.2.2. Weights are (from, to), as in
the other layers; those of torch.nn.Linear are (to, from).
"""

import math
from typing import Any

import numpy as np

from cvcourse.classic.dropout import dropout_backward, dropout_forward
from cvcourse.classic.shapes import sizes
from cvcourse.classic.temporal import temporal_affine_backward, temporal_affine_forward

Params = dict[str, np.ndarray]


def attention_forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None = None,
    dropout_param: dict[str, Any] | None = None,
) -> tuple[np.ndarray, Any]:
    """Compute averages of the values, weighted by the similarity of queries and keys.

    Args:
        q: Queries, (N, S, D).
        k: Keys, (N, T, D).
        v: Values, (N, T, E).
        mask: True where query i may look at key j, (S, T); none: everywhere. A query that may look
            at nothing has the output 0.
        dropout_param: Dropout of the attention weights, as `dropout_forward` takes it; none: none.

    Returns:
        The outputs, (N, S, E), and a cache.

    Raises:
        ValueError: If shapes do not fit, or the mask is not boolean.

    >>> q, k, v = np.zeros((1, 1, 1)), np.zeros((1, 3, 1)), np.array([[[1.0], [2.0], [9.0]]])
    >>> attention_forward(q, k, v, mask=np.array([[True, True, False]]))[0]
    array([[[1.5]]])
    """
    sizes("q N S D, k N T D, v N T E", q, k, v)
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.swapaxes(1, 2) * scale
    if mask is not None:
        sizes("scores N S T, mask S T", scores, mask)
        if mask.dtype != bool:
            raise ValueError(f"mask has {mask.dtype} values; it has booleans, True: may look")
        scores = np.where(mask, scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    # Where a query may look at nothing, all powers are 0, and so is their sum.
    powers = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    sums = powers.sum(axis=-1, keepdims=True)
    weights = powers / np.where(sums == 0, 1, sums)
    kept, dropout_cache = dropout_forward(weights, dropout_param or {"mode": "test", "p": 1})
    return kept @ v, (q, k, v, scale, weights, kept, dropout_cache)


def attention_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `attention_forward`.

    Args:
        dout: Gradient of the outputs, (N, S, E).
        cache: Cache of the forward pass.

    Returns:
        Gradients of q, k and v.

    >>> one = np.ones((1, 1, 1))
    >>> out, cache = attention_forward(0 * one, np.zeros((1, 2, 1)), np.ones((1, 2, 1)))
    >>> attention_backward(one, cache)[2]
    array([[[0.5],
            [0.5]]])
    """
    q, k, v, scale, weights, kept, dropout_cache = cache
    dweights = dropout_backward(dout @ v.swapaxes(1, 2), dropout_cache)
    # Of a softmax p: dscores = p (dp - sum(p dp)). A masked score has the weight 0.
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True))
    dq, dk = dscores @ k * scale, dscores.swapaxes(1, 2) @ q * scale
    return dq, dk, kept.swapaxes(1, 2) @ dout


def multi_head_attention_forward(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    params: Params,
    num_heads: int,
    mask: np.ndarray | None = None,
    dropout_param: dict[str, Any] | None = None,
) -> tuple[np.ndarray, Any]:
    """Compute attention in several heads, each with D / num_heads features of affine projections.

    Args:
        query: Queries, (N, S, D).
        key: Keys, (N, T, D); in self-attention key and value are the queries.
        value: Values, (N, T, D).
        params: Weights wq, wk, wv of the projections and wo of the output, (D, D), and their biases
            bq, bk, bv and bo, (D,).
        num_heads: Number of heads.
        mask: True where query i may look at key j, (S, T); none: everywhere. A query that may look
            at nothing has the output bo.
        dropout_param: Dropout of the attention weights, as `dropout_forward` takes it; none: none.

    Returns:
        The outputs, (N, S, D), and a cache.

    Raises:
        ValueError: If shapes do not fit, or the heads do not divide the features.

    >>> params = {f"w{i}": np.eye(2) for i in "qkvo"} | {f"b{i}": np.zeros(2) for i in "qkvo"}
    >>> x = np.array([[[0.0, 1.0], [0.0, 3.0]]])
    >>> multi_head_attention_forward(x, x, x, params, 1, mask=np.eye(2, dtype=bool))[0]
    array([[[0., 1.],
            [0., 3.]]])
    """
    features = sizes("query N S D, key N T D, value N T D", query, key, value)["D"]
    if num_heads < 1 or features % num_heads:
        raise ValueError(f"{num_heads} heads do not divide the features of query {query.shape}")
    projections, caches = [], []
    for name, x in zip("qkv", (query, key, value), strict=True):
        w, b = params[f"w{name}"], params[f"b{name}"]
        sizes(f"x N T D, w{name} D D, b{name} D", x, w, b)
        y, cache = temporal_affine_forward(x, w, b)
        projections.append(_split(y, num_heads))
        caches.append(cache)
    q, k, v = projections
    heads, attention_cache = attention_forward(q, k, v, mask, dropout_param)
    joined, w, b = _join(heads, num_heads), params["wo"], params["bo"]
    sizes("heads N T D, wo D D, bo D", joined, w, b)
    out, out_cache = temporal_affine_forward(joined, w, b)
    return out, (num_heads, caches, attention_cache, out_cache)


def multi_head_attention_backward(
    dout: np.ndarray, cache: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Params]:
    """Compute the gradients of `multi_head_attention_forward`.

    Args:
        dout: Gradient of the outputs, (N, S, D).
        cache: Cache of the forward pass.

    Returns:
        Gradients of query, key and value, whose sum is that of the input of self-attention, and
        {name: gradient} of params.

    >>> params = {f"w{i}": np.eye(2) for i in "qkvo"} | {f"b{i}": np.zeros(2) for i in "qkvo"}
    >>> x = np.ones((1, 3, 2))
    >>> out, cache = multi_head_attention_forward(x, x, x, params, num_heads=2)
    >>> multi_head_attention_backward(out, cache)[3]["bo"]
    array([3., 3.])
    """
    num_heads, caches, attention_cache, out_cache = cache
    grads = {}
    dheads, grads["wo"], grads["bo"] = temporal_affine_backward(dout, out_cache)
    dprojections = attention_backward(_split(dheads, num_heads), attention_cache)
    dinputs = []
    for name, dy, cache in zip("qkv", dprojections, caches, strict=True):
        dy = _join(dy, num_heads)
        dx, grads[f"w{name}"], grads[f"b{name}"] = temporal_affine_backward(dy, cache)
        dinputs.append(dx)
    return dinputs[0], dinputs[1], dinputs[2], grads


def _split(x, num_heads):
    """(N, S, D) -> (N * num_heads, S, D / num_heads)."""
    n, s, d = x.shape
    heads = x.reshape(n, s, num_heads, d // num_heads).swapaxes(1, 2)
    return heads.reshape(n * num_heads, s, d // num_heads)


def _join(heads, num_heads):
    """(N * num_heads, S, D / num_heads) -> (N, S, D)."""
    n, s, d = heads.shape
    x = heads.reshape(n // num_heads, num_heads, s, d).swapaxes(1, 2)
    return x.reshape(n // num_heads, s, num_heads * d)
