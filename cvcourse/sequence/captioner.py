"""A captioner: a trained captioning net that searches the words for feature maps."""

import dataclasses

import numpy as np

from cvcourse.sequence._attention_maps import attention_maps
from cvcourse.sequence.decoding import Generator

BATCH = 32  # maps that are captioned at a time


@dataclasses.dataclass(frozen=True)
class Captioner:
    """Captions feature maps by beam search, and tells where the net attends.

    Args:
        generator: Generator with a captioning net of `memory` and `tokens`.
        vocabulary: The words. `encode` puts the token `start` before and `end` behind them, and
            `decode` leaves both out.
        start: Token that a caption begins with.
        end: Token that ends it.
        suppress_tokens: Tokens that are never generated, such as padding.
        longest: Words of the longest caption.
        beams: Captions kept while searching.
        length_penalty: See `Generator.beam_search`.
    """

    generator: Generator
    vocabulary: object
    start: int
    end: int
    suppress_tokens: tuple[int, ...] = ()
    longest: int = 40
    beams: int = 5
    length_penalty: float = 0.6

    def caption(self, maps):
        """Caption feature maps: (n, m, c) -> the words of the best beam of each, n texts."""
        tokens, _ = self.generator.beam_search(
            np.full((len(maps), 1), self.start),
            self.longest + 1,
            beams=self.beams,
            length_penalty=self.length_penalty,
            end=self.end,
            suppress_tokens=self.suppress_tokens,
            batch_size=BATCH,
            memory=maps,
        )
        return [self.vocabulary.decode(best) for best in tokens[:, 0]]

    def attention_maps(self, maps, captions):
        """Compute where the net attends for each word of captions.

        Args:
            maps: Feature maps (n, m, c).
            captions: A text of each.

        Returns:
            n arrays (words, m), the mean over heads of the last attention layer; None for a net
            that does not attend.
        """
        before = [self.vocabulary.encode(text)[:-2] for text in captions]  # what precedes each word
        tokens = np.zeros((len(captions), max(1, *map(len, before))), "int32")
        for row, one in zip(tokens, before, strict=True):
            row[: len(one)] = one
        weights = attention_maps(self.generator.net, {"memory": maps, "tokens": tokens})
        if weights is None:
            return None
        return [one[: len(words)] for one, words in zip(weights.mean(1), before, strict=True)]
