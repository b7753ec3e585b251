"""Text sampler: a language model of characters that continues prompts."""

import os
from typing import Any

import keras
import numpy as np

from cvcourse.deprecation import takes_old_names
from cvcourse.sequence._generator_file import read_generator, require_vocabulary
from cvcourse.sequence.decoding import Generator
from cvcourse.vocabulary import Vocabulary

LENGTH = 300  # characters of a sample


class TextSampler:
    """Continue a prompt, character by character.

    Args:
        model: Net of characters, as `sequence.build` made it or as it was loaded from its file; or
            a Generator of it.
        vocabulary: Its characters, a `cvcourse.data.Vocabulary`.
        window: Maximum number of characters of prompt and sample together. If None, any number, or
            as many as the net has positions for.

    Raises:
        ValueError: As Generator does, or if the vocabulary has another number of tokens than the
            net has outputs.

    >>> from cvcourse import data, sequence
    >>> net = sequence.build("gru", units=8, vocabulary=3, num_classes=3, input_shape=(None,))
    >>> sampler = sequence.TextSampler(net, data.Vocabulary.of_characters("abc"))
    >>> len(sampler.sample("ab", length=5))
    7
    """

    @takes_old_names(generator="model")
    def __init__(
        self,
        model: keras.Model | Generator,
        vocabulary: Vocabulary,
        window: int | None = None,
    ):
        self.generator = model if isinstance(model, Generator) else Generator(model)
        require_vocabulary(self.generator, vocabulary)
        self.vocabulary = vocabulary
        self.window = window or self.generator.max_length

    @classmethod
    def load(cls, path: str | os.PathLike, **options: Any) -> "TextSampler":
        """Read a text sampler from the model.keras of a finished `cvcourse char_lm` run.

        Args:
            path: Path of the .keras file, which contains the characters of the vocabulary.
            **options: Arguments of TextSampler.

        Returns:
            A TextSampler.

        Raises:
            RunError: If the file is damaged, contains no characters, or no net of characters.
            ValueError: If it does not record how the net was built, as files of earlier versions.
        """
        return cls(*read_generator(path, "char_lm", {"tokens"}, ""), **options)

    def prompted(
        self, prompt: str | None = None, length: int | None = None
    ) -> tuple[np.ndarray, int]:
        """Encode a prompt, and find the number of characters to generate.

        Args:
            prompt: Text that the sample begins with. If None, a newline, or the first character of
                a vocabulary without newline.
            length: Number of characters that follow. If None, LENGTH, or fewer if the window has no
                room for them.

        Returns:
            A pair: the prompt's tokens (1, p), and the number of characters that follow.

        Raises:
            ValueError: If the prompt is empty or has a character that the vocabulary lacks, or if
                prompt and sample together are longer than the window.
        """
        if prompt is None:
            known = self.vocabulary.tokens
            prompt = "\n" if "\n" in known else known[0]
        if not prompt:
            raise ValueError("--prompt needs at least one character; received none")
        room = None if self.window is None else self.window - len(prompt)
        if room is not None and (room < 1 or (length or 1) > room):
            raise ValueError(
                f"a Transformer writes within its --window={self.window}; received a --prompt of "
                f"{len(prompt)} characters and --sample_length={length}"
            )
        usual = LENGTH if room is None else min(LENGTH, room)
        count = usual if length is None else length
        return self.vocabulary.encode(prompt)[None], count

    def sample(self, prompt: str | None = None, length: int | None = None, **settings: Any) -> str:
        """Generate a text: the prompt and its continuation.

        Args:
            prompt: See `prompted`.
            length: See `prompted`.
            **settings: temperature, top_k, top_p and seed of `Generator.sample`.

        Returns:
            The text.

        Raises:
            ValueError: As `prompted` and `Generator.sample` do.
        """
        tokens, count = self.prompted(prompt, length)
        return self.vocabulary.decode(self.generator.sample(tokens, count, **settings)[0])
