"""Decoding: a net says token after token, greedily, by chance, or along the likeliest beams.

A net is asked for one token at a time, by its part="step": a token and a state go in, logits and
the next state come out. The state is that of recurrent layers, or the keys and values of a
Transformer's earlier tokens; what part="encoder" makes of a source or an image is read and never
changes. The whole loop is one compiled function, on any backend of Keras.

Holtzman et al. 2020, https://arxiv.org/abs/1904.09751, for nucleus sampling; Fan et al. 2018,
https://arxiv.org/abs/1805.04833, for top-k; Wu et al. 2016, https://arxiv.org/abs/1609.08144, eq.
14, for the length normalization of beam search.
"""

import keras
import numpy as np
from keras import ops

from cvcourse.sequence.registry import build, knobs

IMPOSSIBLE = -1e9  # as a logarithm of a probability


class Generator:
    """What a trained `net` says; `sequence.build` made it of `architecture` and `settings`.

    Its methods take a prompt (batch, p) of tokens, p >= 1, and as keywords the inputs of the net
    but its tokens (source, memory …). They always speak with the net's present weights. Raises
    ValueError where the net was built otherwise, for a prompt that is none, and for more tokens
    than the net has positions for.
    """

    def __init__(self, architecture, net, **settings):
        self.net = net
        self.step = build(architecture, part="step", **settings)
        self.encoder = None
        if {layer.name for layer in net.layers} & {"source", "memory"}:
            self.encoder = build(architecture, part="encoder", **settings)
        self.longest = None  # in tokens
        if "position" in self.step.input:
            self.longest = settings.get("length", knobs(architecture)["length"])
        self._loops = {}
        self._learn()

    def greedy(self, prompt, length, *, end=None, **given):
        """The prompt and `length` tokens, each the likeliest: (batch, p + length) int32.

        Behind the token `end` there are only more of it.
        """
        return self.sample(prompt, length, top_k=1, end=end, **given)

    def sample(
        self, prompt, length, *, temperature=1.0, top_k=None, top_p=1.0, seed=0, end=None, **given
    ):
        """The prompt and `length` tokens drawn from what the net finds likely, (batch, p + length).

        Logits are divided by the `temperature`; of the tokens the `top_k` likeliest are left, and
        of those the fewest that have a share of `top_p` before (the nucleus). The same seed draws
        the same. Behind the token `end` there are only more of it. temperature=0 is greedy.
        """
        prompt = self._checked(prompt, length)
        if temperature < 0 or not 0 < top_p <= 1 or (top_k is not None and top_k < 1):
            raise ValueError(
                "temperature is at least 0, top_k at least 1, top_p in (0, 1]; received "
                f"{temperature}, {top_k}, {top_p}"
            )
        if temperature == 0:
            temperature, top_k = 1.0, 1
        batch, steps = len(prompt), prompt.shape[1] + length - 1
        noise = np.random.default_rng(seed).random((batch, steps), "float32")
        ones = np.ones(batch)
        return self._run(
            Sampling,
            given,
            prompt=prompt,
            noise=noise,
            temperature=(temperature * ones).astype("float32"),
            top_k=(ones * (top_k or 2**30)).astype("int32"),
            top_p=(top_p * ones).astype("float32"),
            end=(ones * (-1 if end is None else end)).astype("int32"),
        )["tokens"]

    def beam_search(self, prompt, length, *, beams=5, length_penalty=0.6, end=None, **given):
        """The likeliest continuations: tokens (batch, beams, p + length) and scores (batch, beams).

        The best first. A score is the logarithm of the probability of what follows the prompt, up
        to the token `end`, over ((5 + tokens) / 6) ** length_penalty. Behind `end` there are only
        more of it.
        """
        prompt = self._checked(prompt, length)
        if beams < 1:
            raise ValueError(f"beams are at least 1; received {beams}")
        ones = np.ones(len(prompt))
        found = self._run(
            BeamSearch,
            given,
            beams=beams,
            prompt=np.concatenate([prompt, np.zeros((len(prompt), length), "int32")], axis=1),
            fixed=(ones * prompt.shape[1]).astype("int32"),
            length_penalty=(ones * length_penalty).astype("float32"),
            end=(ones * (-1 if end is None else end)).astype("int32"),
        )
        return found["tokens"], found["scores"]

    def _checked(self, prompt, length):
        prompt = np.asarray(prompt)
        if prompt.ndim != 2 or not prompt.size or prompt.dtype.kind not in "iu":
            raise ValueError(
                "a prompt is an array of tokens (batch, one or more); received "
                f"{prompt.dtype} {prompt.shape}"
            )
        wanted = prompt.shape[1] + length
        if length < 1 or (self.longest and wanted > self.longest):
            raise ValueError(
                f"the prompt's {prompt.shape[1]} tokens and {length} more: at least one, and no "
                f"more than the net has positions for, {self.longest or 'any number'}"
            )
        vocabulary = self.step.output["logits"].shape[-1]
        if prompt.min() < 0 or prompt.max() >= vocabulary:
            raise ValueError(
                f"tokens are 0 to {vocabulary - 1}; received {prompt.min()} to {prompt.max()}"
            )
        return prompt.astype("int32")

    def _run(self, kind, given, *, beams=1, **inputs):
        """Let a loop run from where the encoder, or nothing, leaves the states."""
        self._learn()
        batch = len(inputs["prompt"])
        begun = self.encoder.predict_on_batch(given) if self.encoder else {}
        for name, tensor in self.step.input.items():
            if name == "token":
                continue
            value = begun.get(name)
            if value is None:
                value = np.zeros((batch, *tensor.shape[1:]), tensor.dtype)
            inputs[f"state {name}"] = np.repeat(value, beams, axis=0) if beams > 1 else value
        if (kind, beams) not in self._loops:
            self._loops[kind, beams] = kind(self.step, beams)
        return self._loops[kind, beams].predict_on_batch(inputs)

    def _learn(self):
        for part in filter(None, (self.step, self.encoder)):
            copy_weights(part, self.net)


def copy_weights(target, source):
    """Give the layers of `target` the weights of those of `source` with the same names.

    Raises ValueError for a layer that `source` has not, or has in another shape.
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
                raise ValueError(f"{source.name} was built otherwise: {layer.name} does not fit")
            for variable, value in zip(layer.weights, there.weights, strict=True):
                variable.assign(ops.copy(value))  # JAX gives away what predict has used


class _Loop(keras.Model):
    """Asks a net's step again and again: a Model, so that Keras compiles the whole of it."""

    def __init__(self, step, beams):
        super().__init__()
        self.step, self.beams = step, beams
        self.states = [name for name in step.input if name != "token"]

    def said(self, token, states):
        """The net's logits for the token after `token` in float32, and its next states."""
        outputs = self.step({"token": token, **dict(zip(self.states, states, strict=True))})
        states = [
            ops.cast(outputs.get(name, old), old.dtype)
            for name, old in zip(self.states, states, strict=True)
        ]
        return ops.cast(outputs["logits"], "float32"), states


class Sampling(_Loop):
    """Prompt (batch, p), noise (batch, steps) of [0, 1) … -> tokens (batch, steps + 1)."""

    def call(self, inputs):
        prompt, noise, end = inputs["prompt"], inputs["noise"], inputs["end"]
        given, steps = prompt.shape[1], noise.shape[1]
        tokens = ops.pad(prompt, [[0, 0], [0, steps + 1 - given]])

        def body(t, tokens, done, *states):
            token = ops.take(tokens, t, axis=1)
            logits, states = self.said(token, states)
            chosen = choose(
                logits,
                ops.take(noise, t, axis=1),
                *(inputs[key] for key in ("temperature", "top_k", "top_p")),
            )
            chosen = ops.where(done, end, chosen)
            after = t + 1
            chosen = ops.where(after < given, ops.take(tokens, after, axis=1), chosen)
            done = ops.logical_and(ops.equal(chosen, end), after >= given)
            return after, written(tokens, chosen, after), done, *states

        begin = [inputs[f"state {name}"] for name in self.states]
        nobody = ops.zeros_like(end, dtype="bool")
        _, tokens, *_ = ops.while_loop(
            lambda t, tokens, done, *_: ops.logical_and(t < steps, ops.logical_not(ops.all(done))),
            body,
            (ops.convert_to_tensor(0, "int32"), tokens, nobody, *begin),
        )
        return {"tokens": ended(tokens, end[:, None], given)}


def choose(logits, noise, temperature, top_k, top_p):
    """Draw a token of each row: logits (batch, v), the rest (batch,) -> (batch,) int32."""
    logits = logits / temperature[:, None]
    order = ops.argsort(-logits, axis=-1)
    share = ops.softmax(ops.take_along_axis(logits, order, axis=-1))
    before = ops.cumsum(share, axis=-1) - share
    keep = ops.logical_and(ops.arange(logits.shape[-1]) < top_k[:, None], before < top_p[:, None])
    keep = ops.logical_or(keep, ops.equal(ops.arange(logits.shape[-1]), 0))
    up_to = ops.cumsum(ops.where(keep, share, 0.0), axis=-1)
    rank = ops.sum(ops.cast(up_to <= noise[:, None] * up_to[:, -1:], "int32"), axis=-1)
    # Rounding may let a draw near 1 pass the last.
    rank = ops.minimum(rank, ops.sum(ops.cast(keep, "int32"), axis=-1) - 1)
    return ops.cast(ops.take_along_axis(order, rank[:, None], axis=-1)[:, 0], "int32")


def written(tokens, column, place):
    """Tokens (…, n) with a column (…) in place `place`."""
    here = ops.equal(ops.arange(tokens.shape[-1]), place)
    return ops.where(here, column[..., None], tokens)


def ended(tokens, end, given):
    """Tokens (…, n) with `end` alone behind the first `end` that follows the `given` ones."""
    said = ops.arange(tokens.shape[-1]) >= given
    ends = ops.logical_and(ops.equal(tokens, end), said)
    return ops.where(ops.cumsum(ops.cast(ends, "int32"), axis=-1) > 0, end, tokens)


class BeamSearch(_Loop):
    """Prompt (batch, n), whose first `fixed` tokens count … -> tokens (batch, beams, n), scores.

    A beam that has ended stays among the beams with its score.
    """

    def call(self, inputs):
        prompt, end, beams = inputs["prompt"], inputs["end"], self.beams
        batch, n = ops.shape(prompt)[0], prompt.shape[1]
        vocabulary = self.step.output["logits"].shape[-1]
        given, power = inputs["fixed"][:, None], inputs["length_penalty"][:, None]
        rows = ops.expand_dims(ops.arange(batch) * beams, 1)
        is_end = ops.equal(ops.arange(vocabulary), end[:, None])[:, None]
        only_end = ops.where(is_end, 0.0, IMPOSSIBLE)

        def normalized(scores, lengths):
            return scores / ((5.0 + ops.cast(lengths, "float32")) / 6.0) ** power

        def body(t, tokens, scores, lengths, done, *states):
            token = ops.reshape(ops.take(tokens, t, axis=2), (-1,))
            logits, states = self.said(token, states)
            found = ops.reshape(ops.log_softmax(logits), (-1, beams, vocabulary))
            found = scores[..., None] + ops.where(done[..., None], only_end, found)
            longer = lengths + ops.cast(ops.logical_not(done), "int32")
            ranks = ops.transpose(normalized(ops.transpose(found, (2, 0, 1)), longer), (1, 2, 0))
            _, best = ops.top_k(ops.reshape(ranks, (-1, beams * vocabulary)), beams)
            parent, chosen = best // vocabulary, best % vocabulary
            found = ops.take_along_axis(ops.reshape(found, (-1, beams * vocabulary)), best, axis=1)
            after = t + 1
            forced = after < given  # by the prompt: nobody moves
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
            lambda t, tokens, scores, lengths, done, *_: ops.logical_and(
                t < n - 1, ops.logical_not(ops.all(done))
            ),
            body,
            (ops.convert_to_tensor(0, "int32"), tokens, scores, lengths, done, *begin),
        )
        tokens = ended(tokens, end[:, None, None], given[..., None])
        return {"tokens": tokens, "scores": normalized(scores, lengths)}
