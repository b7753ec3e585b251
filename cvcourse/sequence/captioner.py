"""Captioner: a trained captioning net that captions feature maps by beam search."""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvcourse.deprecation import takes_old_names
from cvcourse.sequence._attention_maps import attention_maps
from cvcourse.sequence._generator_file import read_generator, require_vocabulary
from cvcourse.sequence.decoding import Generator
from cvcourse.vocabulary import END, PAD, START, UNK, Vocabulary

BATCH = 32  # maps that are captioned at a time
LONGEST = 40  # words of a caption


class Captioner:
    """Caption feature maps by beam search, and show where the net attends.

    Args:
        model: Captioning net of `memory` and `tokens`, as `sequence.build` made it or as it was
            loaded from its file; or a Generator of it.
        vocabulary: Its words, a `cvcourse.data.Vocabulary`. `encode` puts the token `start` before
            and `end` after them, and `decode` leaves both out.
        start: Token that a caption begins with.
        end: Token that ends a caption.
        suppress_tokens: Tokens that are never generated.
        longest: Maximum number of words of a caption. If None, 40, or as many as the net has
            positions for.
        num_beams: Number of captions kept while searching.
        length_penalty: See `Generator.beam_search`.

    Raises:
        ValueError: As Generator does, or if the vocabulary has another number of tokens than the
            net has outputs.

    >>> from cvcourse import data, sequence
    >>> vocabulary = data.Vocabulary.of_words(["a red square"])
    >>> net = sequence.build("caption_lstm", units=8, num_classes=7, memory_shape=(4, 3))
    >>> captioner = sequence.Captioner(net, vocabulary, longest=3)
    >>> len(captioner.caption(np.ones((2, 4, 3), "float32")))
    2
    """

    @takes_old_names(beams="num_beams", generator="model")
    def __init__(
        self,
        model: keras.Model | Generator,
        vocabulary: Vocabulary,
        start: int = START,
        end: int = END,
        suppress_tokens: Sequence[int] = (PAD, START, UNK),  # which no label ever is
        longest: int | None = None,
        num_beams: int = 5,
        length_penalty: float = 0.6,
    ):
        self.generator = model if isinstance(model, Generator) else Generator(model)
        require_vocabulary(self.generator, vocabulary)
        self.vocabulary = vocabulary
        self.start, self.end, self.suppress_tokens = start, end, suppress_tokens
        positions = self.generator.max_length
        self.longest = longest or (LONGEST if positions is None else positions - 2)
        self.num_beams, self.length_penalty = num_beams, length_penalty

    @classmethod
    def load(cls, path: str | os.PathLike, **options: Any) -> "Captioner":
        """Read a captioner from the model.keras of a finished `cvcourse caption` run.

        Args:
            path: Path of the .keras file, which contains the words of the vocabulary.
            **options: Arguments of Captioner, such as `num_beams`.

        Returns:
            A Captioner.

        Raises:
            RunError: If the file is damaged, contains no words, or no captioning net.
            ValueError: If it does not record how the net was built, as files of earlier versions.
        """
        inputs = {"memory", "tokens"}
        return cls(*read_generator(path, "caption", inputs, " "), **options)

    def caption(self, maps: np.ndarray) -> list[str]:
        """Caption feature maps by the best beam.

        Args:
            maps: Feature maps (n, m, c).

        Returns:
            n texts.
        """
        tokens, _ = self.generator.beam_search(
            np.full((len(maps), 1), self.start),
            self.longest + 1,
            num_beams=self.num_beams,
            length_penalty=self.length_penalty,
            end=self.end,
            suppress_tokens=self.suppress_tokens,
            batch_size=BATCH,
            memory=maps,
        )
        return [self.vocabulary.decode(best) for best in tokens[:, 0]]

    def attention_maps(self, maps: np.ndarray, captions: Sequence[str]) -> list[np.ndarray] | None:
        """Compute where the net attends for each word of captions.

        Args:
            maps: Feature maps (n, m, c).
            captions: n texts, one for each map.

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
