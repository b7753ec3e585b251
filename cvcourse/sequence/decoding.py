"""Decoding: generate one token after another, greedily, by sampling, or by beam search.

Each token is one call of the net that is built with part="step", from a token and a state to logits
and the next state. The state is that of recurrent layers, or the keys and values of a Transformer's
earlier tokens; the outputs of the net built with part="encoder", for a source or an image, never
change. The whole loop is one compiled function, on any backend of Keras.

Holtzman et al. 2020, https://arxiv.org/abs/1904.09751, for nucleus sampling; Fan et al. 2018,
https://arxiv.org/abs/1805.04833, for top-k; Wu et al. 2016, https://arxiv.org/abs/1609.08144, eq.
14, for the length normalization of beam search.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from cvcourse.deprecation import renamed_arguments, takes_old_names, warn
from cvcourse.sequence.registry import RENAMED, SequenceModel, build, builder_args
from cvcourse.settings import precision

IMPOSSIBLE = -math.inf  # logarithm of a probability of 0
# Temperatures by which float32 can divide logits.
SMALLEST, LARGEST = float(np.finfo("float32").tiny), float(np.finfo("float32").max)


class Generator:
    """Generate tokens with a trained sequence net.

    Every method continues a prompt as the whole net would, with the net's current weights and its
    dtype policy. The rows of a prompt have equal lengths. A net that was built with a token
    `padding` ignores it here, too, so that shorter rows can be padded at the start.

    Args:
        model: keras.Model that `sequence.build` made, or that was loaded from its .keras file.
        net: Deprecated: the model, if `model` is its architecture.
        architecture: Key of `sequence.REGISTRY`, for a model that does not record it because it was
            saved by an earlier version. `settings` must then be all arguments it was built with.
        **settings: Arguments of `sequence.build`, if they differ from those that the model records.

    Raises:
        ValueError: If the model records no architecture and none is given, was built with other
            settings, or does not generate tokens.

    >>> from cvcourse import sequence
    >>> net = sequence.build("lstm", units=8, vocabulary=5, num_classes=5, input_shape=(None,))
    >>> sequence.Generator(net).greedy([[1, 2]], 3).shape
    (1, 5)
    """

    def __init__(
        self,
        model: keras.Model,
        net: keras.Model | None = None,
        *,
        architecture: str | None = None,
        **settings: Any,
    ):
        if isinstance(model, str) and net is not None:
            warn("Generator(architecture, net, **settings)", "Generator(net)")
            model, architecture = net, model
        settings = renamed_arguments("Generator", settings, RENAMED)
        if architecture is None:
            if not isinstance(model, keras.Model):
                raise ValueError(
                    f"Generator takes a keras.Model that `sequence.build` made; received {model!r}"
                )
            if not isinstance(model, SequenceModel) or model.architecture is None:
                raise ValueError(
                    f"{getattr(model, 'name', model)!r} does not record its `sequence.build` "
                    'arguments; give architecture="lstm" or another and all settings that it was '
                    "built with, such as units=256"
                )
            architecture, settings = model.architecture, {**model.settings, **settings}
        self.net = model
        self.encoder = None
        with precision(dtype_policy(model)):
            self.step = build(architecture, **settings | {"part": "step"})
            if {layer.name for layer in model.layers} & {"source", "memory"}:
                self.encoder = build(architecture, **settings | {"part": "encoder"})
        self.max_length = None  # any number of tokens
        if "position" in self.step.input:
            self.max_length = {**builder_args(architecture), **settings}["max_length"]
        self._loops: dict = {}
        self._learn()

    def greedy(
        self,
        prompt: ArrayLike,
        length: int,
        *,
        end: int | None = None,
        suppress_tokens: Iterable[int] = (),
        batch_size: int | None = None,
        **inputs: Any,
    ) -> np.ndarray:
        """Continue the prompt with the likeliest token at each step.

        Args:
            prompt: Integers (batch, p), p >= 1.
            length: Number of tokens to generate.
            end: Token that ends a sequence; the rest of the sequence is filled with it.
            suppress_tokens: Tokens that are never generated.
            batch_size: Number of rows decoded at a time; the last batch is filled up, so that
                only one shape is compiled. If None, all at once. The result is the same.
            **inputs: The net's inputs besides its tokens (`source`, `memory`), (batch, ...).

        Returns:
            The prompt and its continuation, (batch, p + length) int32.

        Raises:
            ValueError: If an argument is out of range, or there are more tokens than positions.
        """
        return self.sample(
            prompt,
            length,
            top_k=1,
            end=end,
            suppress_tokens=suppress_tokens,
            batch_size=batch_size,
            **inputs,
        )

    def sample(
        self,
        prompt: ArrayLike,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int | None = 0,
        end: int | None = None,
        suppress_tokens: Iterable[int] = (),
        batch_size: int | None = None,
        **inputs: Any,
    ) -> np.ndarray:
        """Continue the prompt with tokens drawn from the net's distribution.

        Args:
            prompt: Integers (batch, p), p >= 1.
            length: Number of tokens to generate.
            temperature: Divides the logits; 0, or less than float32 can divide by, is greedy.
            top_k: Number of likeliest tokens to draw from. If None, all.
            top_p: Draw from the fewest of these whose probabilities, which sum to 1 over the
                `top_k`, reach `top_p` (the nucleus).
            seed: Seed of the draws. If None, different tokens at each call.
            end: Token that ends a sequence; the rest of the sequence is filled with it.
            suppress_tokens: Tokens that are never generated.
            batch_size: Number of rows decoded at a time; the last batch is filled up, so that
                only one shape is compiled. If None, all at once. The result is the same.
            **inputs: The net's inputs besides its tokens (`source`, `memory`), (batch, ...).

        Returns:
            The prompt and its continuation, (batch, p + length) int32.

        Raises:
            ValueError: If an argument is out of range, or there are more tokens than positions.
        """
        arrays = self._arrays(prompt, length, end, suppress_tokens)
        require(
            is_number(temperature) and 0 <= temperature <= LARGEST,
            "temperature must be a finite number of at least 0",
            temperature,
        )
        require(
            top_k is None or at_least(1, top_k),
            "top_k must be None or an integer of at least 1",
            top_k,
        )
        require(is_number(top_p) and 0 < top_p <= 1, "top_p must be a number in (0, 1]", top_p)
        require(
            seed is None or at_least(0, seed),
            "seed must be None or an integer of at least 0",
            seed,
        )
        if temperature < SMALLEST:
            temperature, top_k = 1.0, 1
        batch, total = arrays["tokens"].shape
        vocabulary = arrays["allowed"].shape[1]
        return self._run(
            Sampling,
            inputs,
            noise=np.random.default_rng(seed).random((batch, total - 1), "float32"),
            temperature=np.full(batch, temperature, "float32"),
            top_k=np.full(batch, min(top_k or vocabulary, vocabulary), "int32"),
            top_p=np.full(batch, max(top_p, SMALLEST), "float32"),
            batch_size=batch_size,
            **arrays,
        )["tokens"]

    @takes_old_names(beams="num_beams")
    def beam_search(
        self,
        prompt: ArrayLike,
        length: int,
        *,
        num_beams: int = 5,
        length_penalty: float = 0.6,
        end: int | None = None,
        suppress_tokens: Iterable[int] = (),
        batch_size: int | None = None,
        **inputs: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search for the likeliest continuations of the prompt.

        Args:
            prompt: Integers (batch, p), p >= 1.
            length: Number of tokens to generate.
            num_beams: Number of sequences kept while searching.
            length_penalty: Scores are divided by ((5 + tokens) / 6) ** length_penalty.
            end: Token that ends a sequence; the rest of the sequence is filled with it.
            suppress_tokens: Tokens that are never generated: their logits are minus infinity.
            batch_size: Number of rows decoded at a time; the last batch is filled up, so that
                only one shape is compiled. If None, all at once. The result is the same.
            **inputs: The net's inputs besides its tokens (`source`, `memory`), (batch, ...).

        Returns:
            A pair: tokens (batch, num_beams, p + length) int32, the best first, and their scores
            (batch, num_beams): the log probability of the continuation up to and including `end`,
            divided by the penalty. If there are fewer continuations than beams, the remaining beams
            have a score of minus infinity, and meaningless tokens.

        Raises:
            ValueError: If an argument is out of range, or there are more tokens than positions.
        """
        arrays = self._arrays(prompt, length, end, suppress_tokens)
        require(at_least(1, num_beams), "num_beams must be an integer of at least 1", num_beams)
        require(
            is_number(length_penalty) and math.isfinite(length_penalty),
            "length_penalty must be a finite number",
            length_penalty,
        )
        penalty = np.full(len(arrays["tokens"]), length_penalty, "float32")
        found = self._run(
            BeamSearch,
            inputs,
            beams=int(num_beams),
            length_penalty=penalty,
            batch_size=batch_size,
            **arrays,
        )
        return found["tokens"], found["scores"]

    def _arrays(self, prompt, length, end, suppress_tokens):
        """Check the arguments that all methods share, and return the arrays that all loops need."""
        try:
            prompt = np.asarray(prompt)
        except ValueError:  # rows of several lengths
            prompt = np.asarray(prompt, object)
        if prompt.ndim != 2 or not prompt.size:
            raise ValueError(
                "a prompt is an array of tokens (batch, one or more), with rows of equal length; "
                f"received {prompt.dtype} {prompt.shape}"
            )
        require(at_least(1, length), "length must be an integer of at least 1", length)
        batch, given = prompt.shape
        if self.max_length and given + length > self.max_length:
            raise ValueError(
                f"the net has {self.max_length} positions (max_length={self.max_length}); received "
                f"a prompt of {given} tokens and length={length}"
            )
        vocabulary = self.step.output["logits"].shape[-1]
        prompt = checked_tokens("prompt", prompt, vocabulary)
        if end is not None:
            require(at_least(0, end), "end must be None or a token", end)
            checked_tokens("end", [end], vocabulary)
        if np.iterable(suppress_tokens):
            suppress_tokens = [*suppress_tokens]  # also from a set
        suppressed = checked_tokens("suppress_tokens", suppress_tokens, vocabulary)
        allowed = ~np.isin(np.arange(vocabulary), suppressed)
        require(allowed.any(), "suppress_tokens must leave a token to generate", suppress_tokens)
        return {
            "tokens": np.pad(prompt, [(0, 0), (0, int(length))]),
            "given": np.full(batch, given, "int32"),
            "end": np.full(batch, -1 if end is None else end, "int32"),
            "allowed": np.tile(allowed, (batch, 1)),
        }

    def _run(self, kind, inputs, *, beams=1, batch_size=None, **arrays):
        """Run a loop that starts from the encoder's states, or from zeros."""
        batch = len(arrays["tokens"])
        expected = sorted(self.encoder.input) if self.encoder else []
        received = {name: np.shape(value) for name, value in inputs.items()}
        if sorted(received) != expected or any(s[:1] != (batch,) for s in received.values()):
            raise ValueError(
                f"besides a prompt of {batch} rows the net needs as many rows of "
                f"{', '.join(expected) or 'nothing'}; received {received or 'nothing'}"
            )
        if batch_size is not None:
            require(
                at_least(1, batch_size),
                "batch_size must be None or an integer of at least 1",
                batch_size,
            )
            several = []
            for begin in range(0, batch, batch_size):
                rows = np.minimum(np.arange(begin, begin + batch_size), batch - 1)
                some, given = (
                    {name: np.asarray(values)[rows] for name, values in arguments.items()}
                    for arguments in (arrays, inputs)
                )
                several.append(self._run(kind, given, beams=beams, **some))
            return {
                name: np.concatenate([one[name] for one in several])[:batch] for name in several[0]
            }
        self._learn()
        begun = self.encoder.predict_on_batch(inputs) if self.encoder else {}
        for name, tensor in self.step.input.items():
            if name == "token":
                continue
            value = begun.get(name)
            if value is None:
                value = np.zeros((batch, *tensor.shape[1:]), tensor.dtype)
            value = np.asarray(value, tensor.dtype)
            arrays[f"state {name}"] = np.repeat(value, beams, axis=0) if beams > 1 else value
        if (kind, beams) not in self._loops:
            self._loops[kind, beams] = kind(self.step, beams)
        return self._loops[kind, beams].predict_on_batch(arrays)

    def _learn(self):
        for part in filter(None, (self.step, self.encoder)):
            copy_weights(part, self.net)


def dtype_policy(net):
    """Return the dtype policy that a net was built with; its logits are always float32."""
    for layer in net._flatten_layers(include_self=False):
        if layer.weights and not isinstance(layer, keras.Model):
            return layer.dtype_policy
    return keras.config.dtype_policy()


def is_number(value, kind=numbers.Real):
    """Check whether a value is a number of this kind; a bool does not count as one."""
    return isinstance(value, kind) and not isinstance(value, bool)


def at_least(least, value):
    """Check whether a value is an integer of at least `least`."""
    return is_number(value, numbers.Integral) and value >= least


def require(holds, statement, value):
    """Raise ValueError with `statement` and the value if `holds` is False."""
    if not holds:
        raise ValueError(f"{statement}; received {value!r}")


def checked_tokens(name, tokens, vocabulary):
    """Convert tokens to int32. Raises ValueError if one is not an id of the vocabulary."""
    tokens = np.asarray(tokens)
    if not tokens.size:
        return tokens.astype("int32")
    if tokens.dtype.kind not in "iu":
        raise ValueError(f"{name}: tokens are integers; received {tokens.dtype} {tokens.shape}")
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ValueError(
            f"{name}: tokens are 0 to {vocabulary - 1}; received {tokens.min()} to {tokens.max()}"
        )
    return tokens.astype("int32")


def copy_weights(target, source):
    """Copy the weights of the layers of `source` to the layers of `target` with the same names.

    Raises ValueError for a layer that `source` lacks, or has in another shape.
    """
    parts = {layer.name: layer for layer in source.layers if isinstance(layer, keras.Model)}
    known = {layer.name: layer for layer in parts.get(target.name, source).layers}
    for layer in target.layers:
        if isinstance(layer, keras.Model):
            copy_weights(layer, source)
        elif layer.weights:
            there = known.get(layer.name)
            forms = [[w.shape for w in each.weights] for each in (layer, there) if each]
            if len(forms) < 2 or forms[0] != forms[1]:
                raise ValueError(
                    f"{source.name} was built with other settings: {layer.name} does not fit"
                )
            for variable, value in zip(layer.weights, there.weights, strict=True):
                variable.assign(ops.copy(value))  # on JAX predict donates its buffers


class _Loop(keras.Model):
    """Loop over a net's step: a Model, so that Keras compiles the whole loop.

    Shapes are read with `ops.shape`, since Keras leaves them open after a second shape. Inputs are
    not cast to a mixed policy's half precision, which would round the noise and the temperature.
    """

    def __init__(self, step, beams):
        super().__init__(autocast=False)
        self.step, self.beams = step, beams
        self.states = [name for name in step.input if name != "token"]

    def next_logits(self, token, allowed, states):
        """Compute float32 logits of the token after `token`, and the net's next states."""
        outputs = self.step({"token": token, **dict(zip(self.states, states, strict=True))})
        states = [
            ops.cast(outputs.get(name, old), old.dtype)
            for name, old in zip(self.states, states, strict=True)
        ]
        logits = ops.cast(outputs["logits"], "float32")
        return ops.where(allowed, logits, IMPOSSIBLE), states


class Sampling(_Loop):
    """Sample tokens.

    Shapes: tokens (batch, n), of which the first `given` are the prompt, noise (batch, n - 1) in
    [0, 1), ... -> tokens (batch, n).
    """

    def call(self, inputs):
        noise, end, given = inputs["noise"], inputs["end"], inputs["given"]

        def body(t, tokens, done, *states):
            token = ops.take(tokens, t, axis=1)
            logits, states = self.next_logits(token, inputs["allowed"], states)
            chosen = choose(
                logits,
                ops.take(noise, t, axis=1),
                *(inputs[key] for key in ("temperature", "top_k", "top_p")),
            )
            chosen = ops.where(done, end, chosen)
            after = t + 1
            forced = after < given  # by the prompt
            chosen = ops.where(forced, ops.take(tokens, after, axis=1), chosen)
            done = ops.logical_and(ops.equal(chosen, end), ops.logical_not(forced))
            return after, written(tokens, chosen, after), done, *states

        begin = [inputs[f"state {name}"] for name in self.states]
        none_done = ops.zeros_like(end, dtype="bool")
        steps = ops.shape(noise)[1]
        _, tokens, *_ = ops.while_loop(
            lambda t, tokens, done, *_: ops.logical_and(t < steps, ops.logical_not(ops.all(done))),
            body,
            (ops.convert_to_tensor(0, "int32"), inputs["tokens"], none_done, *begin),
        )
        return {"tokens": ended(tokens, end[:, None], given[:, None])}


def choose(logits, noise, temperature, top_k, top_p):
    """Draw a token for each row.

    Args:
        logits: Floats (batch, v); tokens of minus infinity are not drawn.
        noise: Uniform draws from [0, 1), (batch,).
        temperature: Positive floats (batch,).
        top_k: Integers of at least 1, (batch,).
        top_p: Positive floats (batch,).

    Returns:
        Tokens (batch,) int32.
    """
    order = ops.argsort(-logits, axis=-1)
    logits = ops.take_along_axis(logits, order, axis=-1)
    # The likeliest token has 0, which no temperature makes infinite.
    scaled = (logits - logits[:, :1]) / temperature[:, None]
    # XLA multiplies by the inverse, which may be 0.
    share = ops.softmax(ops.where(logits > IMPOSSIBLE, scaled, IMPOSSIBLE), axis=-1)
    share = ops.where(ops.arange(logits.shape[-1]) < top_k[:, None], share, 0.0)
    share = share / ops.sum(share, axis=-1, keepdims=True)
    before = ops.cumsum(share, axis=-1) - share
    share = ops.where(before < top_p[:, None], share, 0.0)
    up_to = ops.cumsum(share, axis=-1)
    rank = ops.sum(ops.cast(up_to <= noise[:, None] * up_to[:, -1:], "int32"), axis=-1)
    # Because of rounding, a draw near 1 could be beyond the last token.
    rank = ops.minimum(rank, ops.sum(ops.cast(share > 0, "int32"), axis=-1) - 1)
    return ops.cast(ops.take_along_axis(order, rank[:, None], axis=-1)[:, 0], "int32")


def written(tokens, column, place):
    """Write a column (…) at index `place` of tokens (…, n)."""
    here = ops.equal(ops.arange(ops.shape(tokens)[-1]), place)
    return ops.where(here, column[..., None], tokens)


def ended(tokens, end, given):
    """Fill tokens (…, n) with `end` after the first `end` that follows the `given` ones."""
    generated = ops.arange(ops.shape(tokens)[-1]) >= given
    ends = ops.logical_and(ops.equal(tokens, end), generated)
    return ops.where(ops.cumsum(ops.cast(ends, "int32"), axis=-1) > 0, end, tokens)


class BeamSearch(_Loop):
    """Find the likeliest tokens by beam search.

    Shapes: tokens (batch, n), of which the first `given` are the prompt, ... -> tokens (batch,
    beams, n), scores (batch, beams). A beam that has ended stays among the beams with its score. A
    beam that does not exist (yet) has a score of minus infinity.
    """

    def call(self, inputs):
        prompt, end, beams = inputs["tokens"], inputs["end"], self.beams
        batch, n = ops.shape(prompt)
        vocabulary = self.step.output["logits"].shape[-1]
        given, power = inputs["given"][:, None], inputs["length_penalty"][:, None]
        allowed = ops.repeat(inputs["allowed"], beams, axis=0)
        rows = ops.expand_dims(ops.arange(batch) * beams, 1)
        is_end = ops.equal(ops.arange(vocabulary), end[:, None])[:, None]
        only_end = ops.where(is_end, 0.0, IMPOSSIBLE)

        def normalized(scores, lengths):
            return scores / ((5.0 + ops.cast(lengths, "float32")) / 6.0) ** power

        def going_on(t, tokens, scores, lengths, done, *_):
            over = ops.logical_or(done, ops.isinf(scores))
            return ops.logical_and(t < n - 1, ops.logical_not(ops.all(over)))

        def body(t, tokens, scores, lengths, done, *states):
            token = ops.reshape(ops.take(tokens, t, axis=2), (-1,))
            logits, states = self.next_logits(token, allowed, states)
            found = ops.reshape(ops.log_softmax(logits), (-1, beams, vocabulary))
            found = scores[..., None] + ops.where(done[..., None], only_end, found)
            longer = lengths + ops.cast(ops.logical_not(done), "int32")
            ranks = ops.transpose(normalized(ops.transpose(found, (2, 0, 1)), longer), (1, 2, 0))
            _, best = ops.top_k(ops.reshape(ranks, (-1, beams * vocabulary)), beams)
            parent, chosen = best // vocabulary, best % vocabulary
            found = ops.take_along_axis(ops.reshape(found, (-1, beams * vocabulary)), best, axis=1)
            after = t + 1
            forced = after < given  # by the prompt: beams keep their places
            parent = ops.where(forced, ops.arange(beams), parent)
            chosen = ops.where(forced, ops.take(tokens, after, axis=2), chosen)
            scores = ops.where(forced, scores, found)
            lengths = ops.where(forced, lengths, ops.take_along_axis(longer, parent, axis=1))
            done = ops.logical_or(
                ops.take_along_axis(done, parent, axis=1),
                ops.logical_and(ops.equal(chosen, end[:, None]), ops.logical_not(forced)),
            )
            tokens = ops.take_along_axis(tokens, parent[..., None], axis=1)
            flat = ops.reshape(rows + parent, (-1,))
            states = [
                ops.take(new, flat, axis=0) if name in self.step.output else new
                for name, new in zip(self.states, states, strict=True)
            ]
            return after, written(tokens, chosen, after), scores, lengths, done, *states

        tokens = ops.repeat(prompt[:, None], beams, axis=1)
        first = ops.equal(ops.arange(beams), 0)
        scores = ops.where(first, 0.0, IMPOSSIBLE) + ops.zeros_like(power)
        lengths = ops.zeros_like(scores, dtype="int32")
        done = ops.zeros_like(scores, dtype="bool")
        begin = [inputs[f"state {name}"] for name in self.states]
        _, tokens, scores, lengths, done, *_ = ops.while_loop(
            going_on,
            body,
            (ops.convert_to_tensor(0, "int32"), tokens, scores, lengths, done, *begin),
        )
        tokens = ended(tokens, end[:, None, None], given[..., None])
        return {"tokens": tokens, "scores": normalized(scores, lengths)}
