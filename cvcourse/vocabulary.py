"""Text as numbers and back: a vocabulary of the characters of a text, or of captions' words."""

import collections
import dataclasses
import functools
import sys
import unicodedata

import numpy as np

SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")  # no word is written so: words() drops the < >
PAD, START, END, UNK = range(len(SPECIAL))  # their ids
SHOWN = 60  # characters listed in an error
WORDS = ("L", "M", "N")  # categories: letters, marks (accents, Indian vowel signs) and numbers
UNSPACED = (  # how Unicode's names begin of the letters of scripts without blanks
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA"),
    *("THAI", "LAO", "KHMER", "MYANMAR"),
)


def words(caption: str) -> list[str]:
    """Split a caption into its words in lower case.

    Words are runs of letters, digits and apostrophes; everything else is dropped and parts them:
    blanks, punctuation, hyphens, underscores, symbols ("A T-shirt: the dog's." -> a, t, shirt, the,
    dog's). Letters are those of any script, with their accents. In a script that is written without
    blanks, such as Chinese, Japanese and Thai, each character is a word, with the marks on it. A
    curly apostrophe is a straight one, and one that stands alone is no word.

    Args:
        caption: The text.

    Returns:
        The words.
    """
    text = unicodedata.normalize("NFC", caption.lower()).replace("’", "'")
    for character in set(text):
        if character != "'" and not unicodedata.category(character).startswith(WORDS):
            text = text.replace(character, " ")
    if unspaced(text):
        text = "".join(_parted(text))
    return [word for word in text.split() if word.strip("'")]


def unspaced(text: str) -> bool:
    """Whether a text has letters of a script that is written without blanks between words."""
    return any(_is_unspaced(character) for character in set(text))


def _is_unspaced(character):
    return unicodedata.name(character, "").startswith(UNSPACED)


def _parted(text):
    """The text's pieces, with a blank at each side of an unspaced character and its marks."""
    inside = False
    for character in text:
        is_mark, alone = unicodedata.category(character)[0] == "M", _is_unspaced(character)
        if (alone or inside) and not is_mark:
            yield " "
        yield character
        inside = alone or (inside and is_mark)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """`tokens`, each one's place being its id, and `joiner`, which decoded ones are joined with.

    The joiner "" means characters; " " means words, of which the first four are SPECIAL. It is
    made by `of_characters` and `of_words`, or of tokens that were stored: `Vocabulary(names, " ")`.
    Raises ValueError for tokens that are repeated or not of that form.
    """

    tokens: tuple[str, ...]
    joiner: str

    def __post_init__(self):
        object.__setattr__(self, "tokens", tuple(self.tokens))  # JSON gives a list
        if len(set(self.tokens)) < len(self.tokens):
            repeated = collections.Counter(self.tokens).most_common(1)[0][0]
            raise ValueError(f"a vocabulary has each token once; received {repeated!r} twice")
        if self.joiner not in ("", " "):
            raise ValueError(f"joiner is '' for characters or ' ' for words; got {self.joiner!r}")
        if self.joiner and self.tokens[: len(SPECIAL)] != SPECIAL:
            raise ValueError(
                f"a vocabulary of words begins with {', '.join(SPECIAL)}; "
                f"received {', '.join(map(repr, self.tokens[: len(SPECIAL)])) or 'no token'}"
            )
        if not self.joiner and (long := [token for token in self.tokens if len(token) != 1]):
            raise ValueError(f"a vocabulary of characters has single ones; received {long[0]!r}")

    @classmethod
    def of_characters(cls, text):
        """The distinct characters of `text`, sorted. Raises ValueError for an empty text."""
        if not text:
            raise ValueError("the text to take characters from is empty; one or more are needed")
        return cls(tuple(sorted(set(text))), "")

    @classmethod
    def of_words(cls, captions, least=1):
        """SPECIAL, then the words that occur `least` times or more in `captions` (texts).

        The most frequent come first, equals in alphabetical order. Raises ValueError where no
        word is that frequent.
        """
        counts = collections.Counter(word for caption in captions for word in words(caption))
        kept = [word for word, count in counts.items() if count >= least]
        if not kept:
            most = max(counts.values(), default=0)
            raise ValueError(
                f"no word occurs {least} times in the captions, the most frequent one "
                f"{most} times: {'lower the bound' if most else 'captions with words are needed'}"
            )
        return cls((*SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word))), " ")

    def __len__(self):
        return len(self.tokens)

    def encode(self, text):
        """The ids of a text's tokens, int32: (n,) for n characters, (n + 2,) for n words.

        Words are those of `words`, between START and END; one that is not in the vocabulary is
        UNK. Raises ValueError for a character that is not.
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
                f"the character {text[at]!r} (number {at + 1} of the text) is none of the "
                f"{len(self)} of the vocabulary: {known[:SHOWN]!r}{more}"
            )
        return ids

    def decode(self, ids):
        """The text of ids (n,). Words stop at END; PAD and START are left out.

        Raises ValueError for an id that is no token's.
        """
        ids = np.asarray(ids).ravel().tolist()
        if ids and not 0 <= min(ids) <= max(ids) < len(self):
            wrong = next(i for i in ids if not 0 <= i < len(self))
            raise ValueError(f"{wrong} is no id of the vocabulary: 0 to {len(self) - 1} are")
        if self.joiner:
            ids = ids[: ids.index(END)] if END in ids else ids
            ids = [i for i in ids if i not in (PAD, START)]
        return self.joiner.join([self.tokens[i] for i in ids])

    @functools.cached_property
    def _ids(self):
        return {token: i for i, token in enumerate(self.tokens)}

    @functools.cached_property
    def _ids_by_code(self):
        """Every code point's id or -1: one look-up a character, without a loop in Python."""
        ids = np.full(sys.maxunicode + 1, -1, "int32")
        ids[_codes("".join(self.tokens))] = np.arange(len(self))
        return ids


def _codes(text):
    """The code points (n,) of a text; lone surrogates, as in undecodable file names, as well."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
