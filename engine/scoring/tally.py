"""Counts of rows that were scored."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Tally:
    """Counts of some rows, which add up."""

    rows: int = 0
    """Rows written."""
    scored: int = 0
    """Rows among them that have features."""
    labels: tuple[np.ndarray, ...] = field(default_factory=tuple)
    """Of each head: rows by predicted label, int64 [labels]."""

    @classmethod
    def sum(cls, tallies: "list[Tally]") -> "Tally":
        """The counts of all rows."""
        total = tallies[0] if tallies else cls()
        for one in tallies[1:]:
            total += one
        return total

    def __add__(self, other: "Tally") -> "Tally":
        labels = tuple(a + b for a, b in zip(self.labels, other.labels, strict=True))
        return Tally(self.rows + other.rows, self.scored + other.scored, labels)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"rows": self.rows, "scored": self.scored, "labels": [one.tolist() for one in self.labels]}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Tally":
        """What :meth:`to_json` gave."""
        labels = tuple(np.array(one, np.int64) for one in saved["labels"])
        return cls(saved["rows"], saved["scored"], labels)
