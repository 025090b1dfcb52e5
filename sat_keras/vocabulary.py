from collections import Counter
from pathlib import Path

from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_edge.errors import InputError
from sat_keras.files import atomic_output
from sat_keras.tokenizer import tokenize

SPECIAL = {PAD: "<pad>", START: "<start>", END: "<end>", UNKNOWN: "<unk>"}


class Vocabulary:
    """Words and their ids, kept as one plain text file: line i holds the word of id i.

    Ids 0 to 3 are `<pad>`, `<start>`, `<end>` and `<unk>`.

    Args:
        words: iterable of str, the four special words first.
    Raises:
        InputError: if the special words are not where they belong, or a word stands twice.
    Example:
        >>> vocabulary = Vocabulary.from_captions(["A dog runs.", "Two dogs."], min_count=1)
        >>> vocabulary.encode("a dog")
        [1, 4, 5, 2]
    """

    def __init__(self, words):
        self.words = list(words)
        special = list(SPECIAL.values())
        if self.words[: len(special)] != special:
            raise InputError(f"a vocabulary begins with {' '.join(special)}, one word a line")
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise InputError(f"the word {twice!r} stands twice in the vocabulary")

    @classmethod
    def from_captions(cls, captions, min_count=1, max_size=None):
        """The words of a training split, the most frequent first.

        Args:
            captions: iterable of str.
            min_count: int. Rarer words become `<unk>`. Defaults to `1`.
            max_size: int, special words included. Defaults to `None`: no limit.
        """
        counts = Counter(word for caption in captions for word in tokenize(caption))
        frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = [*SPECIAL.values(), *(word for word, count in frequent if count >= min_count)]
        return cls(words[:max_size])

    @classmethod
    def load(cls, path):
        path = Path(path)
        try:
            # Only "\n" ends a word: a word may hold what `splitlines` takes for a line's end.
            return cls(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such vocabulary file") from error
        except (InputError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: {error}") from error

    def save(self, path):
        with atomic_output(path) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    def encode(self, caption, max_length=None):
        """A caption's ids from `<start>` to `<end>`.

        Args:
            caption: str, or its words as `tokenize` makes them.
            max_length: int. At most so many ids after `<start>`; the rest, `<end>` too, is cut
                off. Defaults to `None`: all.
        """
        words = tokenize(caption) if isinstance(caption, str) else caption
        ids = [self._ids.get(word, UNKNOWN) for word in words]
        return [START, *[*ids, END][:max_length]]

    def __len__(self):
        return len(self.words)

    def __getitem__(self, token):
        return self.words[token]

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self.words == other.words
