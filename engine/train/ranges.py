"""The numbers that options may have; each is checked before any work begins."""

import math
import numbers
from dataclasses import dataclass
from typing import Any

from ...store import SourceError

_ABOVE_0, _BELOW_1 = math.nextafter(0, 1), math.nextafter(1, 0)
_FLOAT32_MAX = (2 - 2**-23) * 2.0**127  # training computes in float32, in which more is infinite


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    words: str
    """The range in words, as messages say it."""
    is_whole: bool = False
    """Whether only integers are in the range."""

    def __contains__(self, value: Any) -> bool:
        kind = numbers.Integral if self.is_whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        number: Any = value
        return self.low <= number <= self.high

    def checked(self, name: str, value: Any) -> Any:
        """The value as Python's int or float. Raises SourceError for a value outside the range."""
        if value not in self:
            raise SourceError(f"{name} must be {self.words}, not {_shown(value)}")
        return int(value) if self.is_whole else float(value)


def whole(low: int, high: int) -> Range:
    """The integers from ``low`` to ``high``."""
    return Range(low, high, f"a whole number from {low:,} to {high:,}", is_whole=True)


EPOCHS = whole(1, 1_000_000)
BATCH_SIZE = whole(1, 2**31 - 1)
SEED = whole(0, 2**63 - 1)
POSITIVE = Range(_ABOVE_0, _FLOAT32_MAX, "a number above 0 that float32 can hold")
NOT_NEGATIVE = Range(0, _FLOAT32_MAX, "a number from 0 up that float32 can hold")
SHARE = Range(_ABOVE_0, _BELOW_1, "a number above 0 and below 1")
SHARE_OR_0 = Range(0, _BELOW_1, "a number from 0 up and below 1")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "that many digits"
    return text if len(text) <= 40 else f"{text[:39]}…"
