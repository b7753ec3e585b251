"""A text sampler: a language model of characters that continues prompts."""

import dataclasses

from cvcourse.sequence.decoding import Generator

LENGTH = 300  # characters of a sample


@dataclasses.dataclass(frozen=True)
class TextSampler:
    """Continues a prompt, character by character.

    Args:
        generator: Generator with a net of characters.
        vocabulary: The characters; `encode` gives tokens of a text, `decode` the text.
        window: Most characters of prompt and sample together; None for any number.
    """

    generator: Generator
    vocabulary: object
    window: int | None = None

    def prompted(self, prompt=None, length=None):
        """Prepare a prompt.

        Args:
            prompt: What the sample begins with. None for a new line, or else the first character.
            length: Characters that follow. None for LENGTH, or what the window leaves.

        Returns:
            A pair: the prompt's tokens (1, p), and the number of characters that follow.

        Raises:
            ValueError: If the prompt is empty or has a character that the vocabulary lacks, or
                both are longer than the window.
        """
        if prompt is None:
            known = self.vocabulary.tokens
            prompt = "\n" if "\n" in known else known[0]
        if not prompt:
            raise ValueError("--prompt has at least one character; received none")
        room = None if self.window is None else self.window - len(prompt)
        if room is not None and (room < 1 or (length or 1) > room):
            raise ValueError(
                f"a Transformer writes within its --window={self.window}; received a --prompt of "
                f"{len(prompt)} characters and --sample_length={length}"
            )
        count = length or (LENGTH if room is None else min(LENGTH, room))
        return self.vocabulary.encode(prompt)[None], count

    def sample(self, prompt=None, length=None, **settings):
        """Write a text: the prompt and what follows.

        Args:
            prompt: See `prompted`.
            length: See `prompted`.
            settings: temperature, top_k, top_p and seed of `Generator.sample`.

        Returns:
            The text.

        Raises:
            ValueError: As `prompted` and `Generator.sample` do.
        """
        tokens, count = self.prompted(prompt, length)
        return self.vocabulary.decode(self.generator.sample(tokens, count, **settings)[0])
