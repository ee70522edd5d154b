"""Which words of texts are features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...store import SourceError
from ...store.nearest import unknown

KINDS = ("characters", "words", "both")
DEFAULT_SIZE = 200_000
MOST_WEIGHTS = 1 << 22
"""Of a linear model, n-grams times outputs; training one holds some twenty times as many numbers."""
_LONGEST = 20


@dataclass(frozen=True)
class WordSettings:
    """Which n-grams are features. What is None is chosen by the texts, see :meth:`for_texts`."""

    kind: str | None = None
    """One of KINDS: n-grams of characters, of words, or both."""
    ngrams: tuple[int, int] | None = None
    """Shortest and longest n-gram: of characters, or where ``kind`` is ``words`` of words."""
    word_ngrams: tuple[int, int] = (1, 2)
    """The same of the words, where ``kind`` is ``both``."""
    min_count: int = 2
    """Texts that an n-gram must be in, at the least."""
    size: int | None = None
    """The most n-grams, the frequent ones; with both kinds, each has a half."""

    def __post_init__(self) -> None:
        if self.kind not in (None, *KINDS):
            raise SourceError(unknown("kind of words", self.kind, KINDS))
        for name in ("ngrams", "word_ngrams"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _lengths(name, getattr(self, name)))
        for name in ("min_count", "size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise SourceError(f"{name} of words must be a whole number from 1 up, not {value!r}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "WordSettings":
        """Settings by name, as ``--words-args`` gives them. Raises SourceError for a name there is not."""
        for name in values:
            if name not in cls.__annotations__:
                raise SourceError(
                    f"words have no setting '{name}'; there are {', '.join(cls.__annotations__)}"
                )
        return cls(**values)

    def for_texts(self, *, without_spaces: bool, outputs: int) -> "WordSettings":
        """The settings with what was None.

        Scripts without spaces have n-grams of 1 to 3 characters; others have words and n-grams of 3 to 4
        characters. Many outputs leave room for fewer n-grams. Raises SourceError for a size beyond that.
        """
        most = max(1, MOST_WEIGHTS // outputs)
        if self.size is not None and self.size > most:
            raise SourceError(
                f"{self.size:,} n-grams for {outputs:,} labels are too many to train; size={most} is the most"
            )
        kind = self.kind or ("characters" if without_spaces else "both")
        of_characters = (1, 3) if without_spaces else (3, 4)
        ngrams = self.ngrams or (self.word_ngrams if kind == "words" else of_characters)
        size = self.size or min(DEFAULT_SIZE, most)
        return WordSettings(kind, ngrams, self.word_ngrams, self.min_count, size)


def _lengths(name: str, value: Any) -> tuple[int, int]:
    """Shortest and longest n-gram, of ``1-3``, ``2`` or two numbers."""
    parts = value.split("-") if isinstance(value, str) else value
    if isinstance(parts, int) or not isinstance(parts, Sequence):
        parts = [parts]
    try:
        numbers = [int(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (1, 2) or not 1 <= numbers[0] <= numbers[-1] <= _LONGEST:
        raise SourceError(
            f"{name} of words are lengths from 1 to {_LONGEST}, such as 3 or 1-3, not '{value}'"
        )
    return numbers[0], numbers[-1]
