"""Load weights by torch.nn's names: RNN, LSTM, GRU, MultiheadAttention, Transformers."""

import math
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from cvcourse.sequence import gru, lstm, rnn
from cvcourse.state_dict import (
    foreign_prefix,
    refuse,
    require_finite,
    strip_prefix,
    tell_prefix,
    to_arrays,
)

CONVERTERS = {"SimpleRNN": rnn, "LSTM": lstm, "GRU": gru}
CONVERTERS |= {"RNNCell": rnn, "LSTMCell": lstm, "GRUCell": gru}
QKV, Q, KV = slice(0, 3), slice(0, 1), slice(1, 3)
ATTENTION = {  # our dense layer: torch's name, and which thirds of torch's stacked kernel
    "qkv": ("in_proj_", QKV),
    "out": ("out_proj.", None),
    "memory_q": ("in_proj_", Q),
    "memory_kv": ("in_proj_", KV),
    "memory_out": ("out_proj.", None),
}
BLOCK = {  # a block without a memory
    "qkv": ("self_attn.in_proj_", QKV),
    "out": ("self_attn.out_proj.", None),
    "1_norm": ("norm1.", None),
    "hidden": ("linear1.", None),
    "mlp": ("linear2.", None),
    "2_norm": ("norm2.", None),
}
MEMORY_BLOCK = BLOCK | {
    "memory_q": ("multihead_attn.in_proj_", Q),
    "memory_kv": ("multihead_attn.in_proj_", KV),
    "memory_out": ("multihead_attn.out_proj.", None),
    "memory_norm": ("norm2.", None),
    "2_norm": ("norm3.", None),
}


def load_torch(
    model_or_layer: keras.Model | keras.layers.Layer, tensors: Mapping[str, Any]
) -> keras.Model | keras.layers.Layer:
    """Load weights of torch.nn into a net or a built layer.

    Supports nets of `sequence.build`: recurrent layers (torch's `weight_ih_l0_reverse` …),
    multi_head_attention (`in_proj_weight` …) and Transformer stacks (`layers.0.self_attn.…`,
    `norm.weight`; for a depth of 1 also the names of a single layer; `encoder.…` and `decoder.…`);
    and Keras' own SimpleRNN, LSTM, GRU, Bidirectional, RNN over one of our cells, and
    MultiHeadAttention. If no tensor is a bias (torch's bias=False), biases become 0. Layers that
    torch's modules lack (embeddings, logits) do not change. A prefix that wrappers put before every
    name (`cvcourse.state_dict.PREFIXES`) is removed, and a line on stderr reports it.

    Args:
        model_or_layer: keras.Model, or a keras.layers.Layer that is built.
        tensors: {torch.nn's name: array or torch tensor in torch's layout}.

    Returns:
        `model_or_layer`.

    Raises:
        ValueError: If tensors are missing, left over, misshaped, NaN or infinite. The message has
            the first names of each kind; no weight changes.

    >>> layer = keras.layers.SimpleRNN(1)
    >>> layer.build((None, 5, 1))
    >>> rows = {"weight_ih_l0": [[2.0]], "weight_hh_l0": [[3.0]]}
    >>> rows |= {"bias_ih_l0": [1.0], "bias_hh_l0": [4.0]}
    >>> [w.tolist() for w in load_torch(layer, rows).get_weights()]
    [[[2.0]], [[3.0]], [5.0]]
    """
    tensors, prefix = strip_prefix(
        to_arrays(tensors), lambda tensors: len(tensors.keys() & _names(model_or_layer, tensors))
    )
    biased = any("bias" in name.split(".")[-1] for name in tensors)
    wanted, misshaped, ready, named = list(plan(model_or_layer, tensors)), [], [], set()
    for layer, names, convert in wanted:
        borne = biased and any(w.name in ("bias", "beta") for w in layer.weights)
        there = [name for name in names if borne or "bias" not in name]
        named.update(there)
        if {*there} - {*tensors}:
            continue
        zeros = {name: _zeros(tensors[name.replace("bias", "weight")]) for name in names}
        given = [tensors[name] if name in there else zeros[name] for name in names]
        forms = [tuple(weight.shape) for weight in layer.weights]
        try:
            values = convert(*given)[: len(forms)]  # the bias is last, and may have no place
        except (ValueError, TypeError, IndexError):  # of another rank
            values = []
        biases = [name for name in there if "bias" in name]  # which adding would broadcast
        if any(tensors[name].shape != zeros[name].shape for name in biases) or not (
            len(values) == len(forms) and all(map(_same_shape, values, forms))
        ):
            shapes = ", ".join(f"{name} {tensors[name].shape}" for name in there)
            misshaped.append(f"{shapes} for {layer.name} {forms}")
            continue
        ready.append((layer, [v.reshape(form) for v, form in zip(values, forms, strict=True)]))
    missing, extra = named - tensors.keys(), tensors.keys() - named
    before = foreign_prefix(sorted(extra), named)
    cause = f"names begin with {before!r}: remove it" if before else ""
    if not wanted:
        raise ValueError(f"{model_or_layer.name} has no layer that is also in torch.nn")
    refuse(model_or_layer.name, cause, missing=missing, misshaped=misshaped, **{"left over": extra})
    require_finite(model_or_layer.name, tensors)
    tell_prefix(model_or_layer.name, prefix)
    for layer, values in ready:
        layer.set_weights(values)
    return model_or_layer


def _names(model_or_layer, tensors):
    """Collect torch's names of the weights of `model_or_layer`."""
    return {name for _, names, _ in plan(model_or_layer, tensors) for name in names}


def _zeros(weight):
    """Make a bias of zeros for a weight (to, …)."""
    return np.zeros(weight.shape[:1], weight.dtype)


def _same_shape(value, form):
    """Check whether an array has a shape, up to a split into heads: (to,) -> (heads, to/heads)."""
    split = value.ndim < len(form) and value.size == math.prod(form)
    return split or value.shape == form


def plan(target, tensors):
    """Yield each layer, the names of its tensors, and a function from them to Keras' arrays."""
    if isinstance(target, layers.Bidirectional):
        yield from plan_recurrent(target.forward_layer, "l0")
        yield from plan_recurrent(target.backward_layer, "l0_reverse")
    elif isinstance(target, layers.RNN):
        yield from plan_recurrent(target, "l0")
    elif isinstance(target, layers.MultiHeadAttention):
        names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
        bare = len(target.weights) == 4  # only kernels
        yield target, names, lambda *given: keras_attention(*given)[:: 1 + bare]
    elif isinstance(target, keras.Model):
        yield from plan_model(target, tensors)


def plan_model(model, tensors, prefix=""):
    """Yield the `plan` of a net, or of an inner net whose torch names begin with `prefix`."""
    names = {layer.name for layer in model.layers}
    stacked = any(name.startswith(f"{prefix}layers.") for name in tensors)
    table = MEMORY_BLOCK if "block1_memory_q" in names else BLOCK
    for layer in model.layers:
        where = re.fullmatch(r"(?:layer|block)(\d+)_?(\w*)|attention_(\w+)", layer.name)
        if isinstance(layer, keras.Model):
            yield from plan_model(layer, tensors, f"{prefix}{layer.name}.")
        elif isinstance(layer, layers.RNN):
            number, way = where[1], where[2]
            yield from plan_recurrent(layer, f"l{int(number) - 1}{'_reverse' if way else ''}")
        elif layer.name == "features" and layer.weights:
            yield layer, (f"{prefix}norm.weight", f"{prefix}norm.bias"), norm
        elif where and layer.weights:
            module, thirds = ATTENTION[where[3]] if where[3] else table[where[2]]
            if where[1]:
                module = f"{prefix}{f'layers.{int(where[1]) - 1}.' if stacked else ''}{module}"
            convert = norm if isinstance(layer, layers.LayerNormalization) else dense(thirds)
            yield layer, (f"{module}weight", f"{module}bias"), convert


def plan_recurrent(layer, suffix):
    """Yield the `plan` of one recurrent layer, whose torch names end with `suffix`."""
    kind = CONVERTERS.get(type(layer.cell if type(layer) is layers.RNN else layer).__name__)
    if kind:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        yield layer, [f"{name}_{suffix}" for name in names], kind.from_torch


def dense(thirds):
    """Return a converter of torch's (to, from) weight and bias, or of thirds of their rows."""

    def convert(weight, bias):
        if thirds and len(weight) % 3 == 0:
            weight, bias = (np.concatenate(np.split(a, 3)[thirds]) for a in (weight, bias))
        return [weight.T, bias]

    return convert


def norm(weight, bias):
    """Convert to a LayerNormalization's gamma and beta."""
    return [weight, bias]


def keras_attention(stacked, stacked_bias, out, out_bias):
    """Convert to Keras' MultiHeadAttention: a kernel and a bias for each of q, k, v and out."""
    kernels, biases = [*np.split(stacked, 3), out], [*np.split(stacked_bias, 3), out_bias]
    return [a for kernel, bias in zip(kernels, biases, strict=True) for a in (kernel.T, bias)]
