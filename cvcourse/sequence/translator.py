"""Translator: a trained encoder-decoder that translates texts."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from cvcourse.deprecation import takes_old_names
from cvcourse.sequence.decoding import Generator

BATCH = 250  # texts that are translated at a time


@dataclasses.dataclass(frozen=True)
class Translator:
    """Translate texts, greedily or by beam search.

    Args:
        generator: Generator with an encoder-decoder of `source` and `tokens`, or that net.
        encode: Function (n texts) -> source tokens (n, m).
        decode: Function (tokens of a translation, `start` first) -> its text.
        start: Token that a translation begins with.
        end: Token that ends a translation.
        longest: Maximum number of tokens of a translation, including `end`.

    >>> from cvcourse import sequence
    >>> net = sequence.build("encoder_decoder", units=8, source_vocabulary=5, num_classes=5)
    >>> translator = sequence.Translator(
    ...     sequence.Generator(net),
    ...     encode=lambda texts: np.array([[*map(int, text)] for text in texts]),
    ...     decode=lambda tokens: "".join(map(str, tokens[1:])),
    ...     start=1,
    ...     end=2,
    ...     longest=4,
    ... )
    >>> len(translator.translate(["341", "434"]))
    2
    """

    generator: Generator
    encode: Callable
    decode: Callable
    start: int
    end: int
    longest: int

    def __post_init__(self):
        if not isinstance(self.generator, Generator):
            object.__setattr__(self, "generator", Generator(self.generator))

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translate texts by the likeliest token at each step.

        Args:
            texts: n texts.

        Returns:
            n texts.
        """
        return [self.decode(tokens) for tokens in self._decoded(self.generator.greedy, texts)]

    @takes_old_names(beams="num_beams")
    def guesses(self, texts: Sequence[str], num_beams: int = 3) -> list[list[tuple[str, float]]]:
        """Search for the likeliest translations of n texts.

        Args:
            texts: n texts.
            num_beams: Number of translations kept while searching.

        Returns:
            n lists of `num_beams` pairs (translation, probability), the likeliest first.
        """
        search = self.generator.beam_search
        tokens, scores = self._decoded(search, texts, num_beams=num_beams, length_penalty=0.0)
        return [
            [(self.decode(row), float(p)) for row, p in zip(rows, np.exp(logs), strict=True)]
            for rows, logs in zip(tokens, scores, strict=True)
        ]

    @takes_old_names(beams="num_beams")
    def guess_cells(self, texts: Sequence[str], count: int, num_beams: int = 3) -> list[list[str]]:
        """Search as `guesses` does, and format the result as cells of a table.

        Args:
            texts: n texts.
            count: Number of translations of each text.
            num_beams: See `guesses`.

        Returns:
            n lists of `count` translations, each followed by its probability in percent.
        """
        return [
            [cell for text, p in found[:count] for cell in (text, f"{100 * p:.2f}")]
            for found in self.guesses(texts, num_beams)
        ]

    def _decoded(self, method, texts, **options):
        return method(
            np.full((len(texts), 1), self.start),
            self.longest,
            end=self.end,
            batch_size=BATCH,
            source=self.encode(texts),
            **options,
        )
