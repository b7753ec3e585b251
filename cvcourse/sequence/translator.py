"""A translator: a trained encoder-decoder that writes texts for texts."""

import collections.abc
import dataclasses

import numpy as np

from cvcourse.deprecation import takes_old_names
from cvcourse.sequence.decoding import Generator

BATCH = 250  # texts that are translated at a time


@dataclasses.dataclass(frozen=True)
class Translator:
    """Translates texts, greedily or by beam search.

    Args:
        generator: Generator with an encoder-decoder of `source` and `tokens`.
        encode: Function of n texts -> source tokens (n, m).
        decode: Function of the tokens of a translation, `start` first -> its text.
        start: Token that a translation begins with.
        end: Token that ends it.
        longest: Tokens of the longest translation, `end` among them.
    """

    generator: Generator
    encode: collections.abc.Callable
    decode: collections.abc.Callable
    start: int
    end: int
    longest: int

    def translate(self, texts):
        """Translate n texts by the likeliest token at each step: n texts."""
        return [self.decode(tokens) for tokens in self._decoded(self.generator.greedy, texts)]

    @takes_old_names(beams="num_beams")
    def guesses(self, texts, num_beams=3):
        """Search the likeliest translations of n texts.

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
    def guess_cells(self, texts, count, num_beams=3):
        """Search as `guesses` does, for a table.

        Args:
            texts: n texts.
            count: Translations of each.
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
