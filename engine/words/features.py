"""TF-IDF of n-grams, by scikit-learn's vectorizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...store import SourceError
from .scripts import are_without_spaces
from .settings import WordSettings
from .texts import Texts, strings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

ANALYZERS = ("char", "char_wb", "word")
"""N-grams of characters, of characters within words, and of words."""


@dataclass(frozen=True)
class Block:
    """N-grams of one kind, each with its column and its inverse document frequency."""

    analyzer: str
    """One of ANALYZERS."""
    ngrams: tuple[int, int]
    terms: tuple[str, ...]
    """In the order of their columns."""
    idf: np.ndarray
    """float64 [terms]"""

    @cached_property
    def vectorizer(self) -> "TfidfVectorizer":
        """What scikit-learn fitted, made again of what was kept of it."""
        vectorizer = make_vectorizer(self.analyzer, self.ngrams, vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        return vectorizer

    @property
    def title(self) -> str:
        """As in ``characters 1-3``."""
        first, last = self.ngrams
        kind = "words" if self.analyzer == "word" else "characters"
        return f"{kind} {first}" if first == last else f"{kind} {first}-{last}"


@dataclass(frozen=True)
class WordFeatures:
    """Word features of texts; pairs have columns of their own for each side."""

    blocks: tuple[Block, ...]
    is_of_pairs: bool

    @property
    def width(self) -> int:
        """Columns."""
        return sum(len(block.terms) for block in self.blocks) * (2 if self.is_of_pairs else 1)

    @property
    def title(self) -> str:
        """As in ``TF-IDF of words 1-2 and characters 3-4``."""
        return f"TF-IDF of {' and '.join(block.title for block in self.blocks)}"

    def matrix(self, texts: Texts) -> "csr_matrix":
        """Features float64 [rows, width]."""
        from scipy.sparse import csr_matrix, hstack

        columns = [block.vectorizer.transform(strings(side)) for side in texts.sides for block in self.blocks]
        return columns[0] if len(columns) == 1 else csr_matrix(hstack(columns, format="csr"))


def fit_features(texts: Texts, settings: WordSettings, outputs: int) -> tuple[WordFeatures, "csr_matrix"]:
    """Choose the n-grams of texts; and the features of these texts.

    Raises SourceError where no n-gram is in as many texts as ``settings.min_count`` says.
    """
    from scipy.sparse import csr_matrix, hstack

    without_spaces = are_without_spaces(texts.all())
    width = outputs * len(texts.sides)
    settings = settings.for_texts(without_spaces=without_spaces, outputs=width)
    blocks, columns = [], []
    for analyzer, ngrams in _analyzers(settings, without_spaces=without_spaces):
        size = max(1, (settings.size or 1) // (2 if settings.kind == "both" else 1))
        vectorizer = make_vectorizer(analyzer, ngrams, min_df=settings.min_count, max_features=size)
        try:
            found = vectorizer.fit_transform(texts.all())
        except ValueError as error:
            raise SourceError(
                f"no n-gram ({analyzer} {ngrams[0]}-{ngrams[1]}) is in {settings.min_count} of the training "
                "texts; pass --words-args min_count=1, or leave out --words"
            ) from error
        blocks.append(Block(analyzer, ngrams, tuple(vectorizer.get_feature_names_out()), vectorizer.idf_))
        columns.append(found)
    rows = len(texts)
    sides = [
        one[start : start + rows] for start in range(0, rows * len(texts.sides), rows) for one in columns
    ]
    matrix = sides[0] if len(sides) == 1 else csr_matrix(hstack(sides, format="csr"))
    return WordFeatures(tuple(blocks), texts.second is not None), matrix


def _analyzers(settings: WordSettings, *, without_spaces: bool) -> list[tuple[str, tuple[int, int]]]:
    assert settings.ngrams is not None
    characters = ("char" if without_spaces else "char_wb", settings.ngrams)
    if settings.kind == "characters":
        return [characters]
    if settings.kind == "words":
        return [("word", settings.ngrams)]
    return [("word", settings.word_ngrams), characters]


def make_vectorizer(
    analyzer: str,
    ngrams: tuple[int, int],
    *,
    vocabulary: Sequence[str] | None = None,
    min_df: int = 1,
    max_features: int | None = None,
) -> "TfidfVectorizer":
    """The vectorizer, with all that is the same for all word features.

    A word may be one letter long, unlike in scikit-learn's own pattern, which would lose "I" and "5".
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    pattern: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b"} if analyzer == "word" else {}
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=ngrams,
        **pattern,
        sublinear_tf=True,
        vocabulary=None if vocabulary is None else list(vocabulary),
        min_df=min_df,
        max_features=max_features,
    )
