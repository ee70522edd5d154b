"""Which rows a head is validated on: those of a source, a share of the training texts, or folds of them."""

from dataclasses import dataclass

from ...store import Source, SourceError
from .ranges import SHARE, whole

_FOLDS = whole(2, 10_000)


@dataclass(frozen=True)
class Fraction:
    """Hold out a share of the training texts, such as ``Fraction(0.2)``, and validate on their rows.

    The seed of the training chooses the texts. A text is never on both sides.
    """

    share: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", SHARE.checked("the fraction of texts to hold out", self.share))

    def __str__(self) -> str:
        return f"{self.share} of train"


@dataclass(frozen=True)
class Folds:
    """Cross-validate, as with ``Folds(5)``: hold out each of ``count`` folds of the texts in turn."""

    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", _FOLDS.checked("the number of folds", self.count))

    def __str__(self) -> str:
        return "folds of train"


Validation = Source | Fraction | Folds
"""Rows to validate on."""


def require_validation(valid: object) -> None:
    """Raise SourceError unless ``valid`` says which rows to validate on."""
    if not isinstance(valid, (Source, Fraction, Folds)):
        raise SourceError(
            f"valid must be a Source, Fraction(0.2) or Folds(5), not {valid!r}: give the rows to validate on"
        )
