"""Vocabularies of the characters of a text, or of the words of captions: texts as token ids."""

import collections
import dataclasses
import functools
import reprlib
import sys
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")  # never words of a text: words() drops < and >
PAD, START, END, UNK = range(len(SPECIAL))  # their ids
SHOWN = 60  # characters listed in an error
WORDS = ("L", "M", "N")  # categories: letters, marks (accents, Indian vowel signs) and numbers
UNSPACED = (  # how the Unicode names of letters begin in scripts without spaces
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"),
    *("THAI", "LAO", "KHMER", "MYANMAR"),
)


def words(caption: str) -> list[str]:
    """Split a caption into lowercase words.

    Words are runs of letters, digits and apostrophes. All other characters separate words and are
    dropped: spaces, punctuation, hyphens, underscores and symbols. Letters may be of any script,
    with accents. In scripts without spaces, such as Chinese, Japanese and Thai, each character is a
    word, with its marks. Curly apostrophes become straight ones, and an apostrophe alone is not a
    word.

    Args:
        caption: The text.

    Returns:
        The words.

    >>> words("A T-shirt: the dog's.")
    ['a', 't', 'shirt', 'the', "dog's"]
    """
    text = unicodedata.normalize("NFC", caption.lower()).replace("’", "'")
    for character in set(text):
        if character != "'" and not unicodedata.category(character).startswith(WORDS):
            text = text.replace(character, " ")
    if unspaced(text):
        text = "".join(_parted(text))
    return [word for word in text.split() if word.strip("'")]


def unspaced(text: str) -> bool:
    """Check for letters of a script that is written without spaces between words.

    Args:
        text: The text.

    Returns:
        True if there is one.

    >>> unspaced("a dog"), unspaced("犬")
    (False, True)
    """
    return any(_is_unspaced(character) for character in set(text))


def _is_unspaced(character):
    return unicodedata.name(character, "").startswith(UNSPACED)


def _parted(text):
    """Yield the pieces of a text, with spaces around an unspaced character and its marks."""
    inside = False
    for character in text:
        is_mark, alone = unicodedata.category(character)[0] == "M", _is_unspaced(character)
        if (alone or inside) and not is_mark:
            yield " "
        yield character
        inside = alone or (inside and is_mark)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tokens and their ids; the id of a token is its position.

    `Vocabulary.of_characters` and `Vocabulary.of_words` make a vocabulary from texts.

    Args:
        tokens: Distinct characters, or words of which the first four are SPECIAL.
        joiner: Text between decoded tokens: "" for characters, " " for words.

    Raises:
        ValueError: If tokens are repeated or do not have this form.

    >>> vocabulary = Vocabulary.of_words(["A dog runs.", "A dog sleeps."], least=2)
    >>> vocabulary
    Vocabulary(6 words: ('<pad>', '<start>', '<end>', '<unk>', 'a', 'dog'))
    >>> vocabulary.encode("a dog barks")
    array([1, 4, 5, 3, 2], dtype=int32)
    """

    tokens: tuple[str, ...]
    joiner: str

    def __post_init__(self):
        object.__setattr__(self, "tokens", tuple(self.tokens))  # JSON gives a list
        if len(set(self.tokens)) < len(self.tokens):
            repeated = collections.Counter(self.tokens).most_common(1)[0][0]
            raise ValueError(f"tokens of a vocabulary are distinct; received {repeated!r} twice")
        if self.joiner not in ("", " "):
            raise ValueError(
                f"joiner is '' for characters or ' ' for words; received {self.joiner!r}"
            )
        if self.joiner and self.tokens[: len(SPECIAL)] != SPECIAL:
            raise ValueError(
                f"a vocabulary of words begins with {', '.join(SPECIAL)}; "
                f"received {', '.join(map(repr, self.tokens[: len(SPECIAL)])) or 'no token'}"
            )
        if not self.joiner and (long := [token for token in self.tokens if len(token) != 1]):
            raise ValueError(
                f"tokens of a vocabulary of characters are single characters; received {long[0]!r}"
            )

    @classmethod
    def of_characters(cls, text: str) -> "Vocabulary":
        """Make a vocabulary of the distinct characters of a text, sorted.

        Args:
            text: The text.

        Returns:
            A Vocabulary.

        Raises:
            ValueError: If the text is empty.
        """
        if not text:
            raise ValueError("the text for a vocabulary is empty; one character or more is needed")
        return cls(tuple(sorted(set(text))), "")

    @classmethod
    def of_words(cls, captions: Iterable[str], least: int = 1) -> "Vocabulary":
        """Make a vocabulary of SPECIAL and the words of captions, the most frequent first.

        Args:
            captions: Texts.
            least: Minimum number of occurrences of a word.

        Returns:
            A Vocabulary; words of equal frequency are in alphabetical order.

        Raises:
            ValueError: If no word is that frequent.
        """
        counts = collections.Counter(word for caption in captions for word in words(caption))
        kept = [word for word, count in counts.items() if count >= least]
        if not kept:
            most = max(counts.values(), default=0)
            raise ValueError(
                f"no word occurs {least} times in the captions, the most frequent one "
                f"{most} times: {'lower the minimum' if most else 'captions with words are needed'}"
            )
        return cls((*SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word))), " ")

    def __len__(self):
        return len(self.tokens)

    def __repr__(self):
        kind = "words" if self.joiner else "characters"
        return f"Vocabulary({len(self):,} {kind}: {reprlib.repr(self.tokens)})"

    def encode(self, text: str) -> np.ndarray:
        """Encode a text as token ids.

        Args:
            text: n characters, or n words as the function `words` splits them.

        Returns:
            int32 array (n,) for characters; (n + 2,) for words, with START and END around them and
            UNK for unknown words.

        Raises:
            ValueError: If a character is not in the vocabulary.
        """
        if self.joiner:
            ids = [self._ids.get(word, UNK) for word in words(text)]
            return np.array([START, *ids, END], "int32")
        ids = self._ids_by_code[_codes(text)]
        if ids.size and ids.min() < 0:
            at = int(ids.argmin())
            known = "".join(self.tokens)
            more = " ..." if len(known) > SHOWN else ""
            raise ValueError(
                f"the character {text[at]!r} (number {at + 1} of the text) is not among the "
                f"{len(self)} of the vocabulary: {known[:SHOWN]!r}{more}"
            )
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """Decode token ids.

        Args:
            ids: Integers (n,). Words end at END; PAD and START are left out.

        Returns:
            The text.

        Raises:
            ValueError: If an id is not in the vocabulary.
        """
        ids = np.asarray(ids).ravel().tolist()
        if ids and not 0 <= min(ids) <= max(ids) < len(self):
            wrong = next(i for i in ids if not 0 <= i < len(self))
            raise ValueError(
                f"{wrong} is not an id of the vocabulary, whose ids are 0 to {len(self) - 1}"
            )
        if self.joiner:
            ids = ids[: ids.index(END)] if END in ids else ids
            ids = [i for i in ids if i not in (PAD, START)]
        return self.joiner.join([self.tokens[i] for i in ids])

    @functools.cached_property
    def _ids(self):
        return {token: i for i, token in enumerate(self.tokens)}

    @functools.cached_property
    def _ids_by_code(self):
        """Id of every code point, or -1: a text is encoded by indexing, not by a Python loop."""
        ids = np.full(sys.maxunicode + 1, -1, "int32")
        ids[_codes("".join(self.tokens))] = np.arange(len(self))
        return ids


def _codes(text):
    """Return the code points (n,) of a text, including lone surrogates (of odd file names)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
