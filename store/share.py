"""A share of all texts, by the leading bits of their keys, so that several processes can divide a source."""

import re
from dataclasses import dataclass

from .errors import SourceError

_BITS = 64
MOST_SHARES = 1 << 20


@dataclass(frozen=True)
class Share:
    """Share ``number``, from 1, of ``count`` shares.

    Keys are hashes, so that shares have about as many texts each. All shares together are the whole, and no
    text is in two. Rows without a usable text belong to the first share, so that they are counted once.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_SHARES or not 1 <= self.number <= self.count:
            raise SourceError(
                f"there is no share {self.number} of {self.count}; write one such as 1/8, from 1/8 to 8/8"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Share":
        """The share of a text such as ``3/8``. Raises SourceError for another text."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if not found:
            raise SourceError(f"'{text}' is no share; write one such as 3/8: the third of eight")
        return cls(int(found[1]), int(found[2]))

    @property
    def is_first(self) -> bool:
        """Whether rows without a usable text belong to this share."""
        return self.number == 1

    @property
    def is_whole(self) -> bool:
        """Whether there is one share, of everything."""
        return self.count == 1

    def part(self, number: int, count: int) -> "Share":
        """Share ``number`` of ``count`` of this share."""
        return Share((self.number - 1) * count + number, self.count * count)

    @property
    def span(self) -> tuple[int, int]:
        """The first 64 bits of its keys, as numbers: the first one, and the first one behind them."""
        return _first(self.number - 1, self.count), _first(self.number, self.count)

    def holds_sql(self, key: str) -> str:
        """A SQL condition: whether a key, a BLOB, is in the share. DuckDB compares BLOBs byte by byte."""
        bounds = []
        if self.number > 1:
            bounds.append(f"{key} >= {_bound(self.number - 1, self.count)}")
        if self.number < self.count:
            bounds.append(f"{key} < {_bound(self.number, self.count)}")
        return f"({' AND '.join(bounds) or 'true'})"


WHOLE = Share()


def _first(number: int, count: int) -> int:
    """The first 64 bits behind ``number`` of ``count`` shares."""
    return -(-(number << _BITS) // count)


def _bound(number: int, count: int) -> str:
    """The first key behind ``number`` of ``count`` shares, as a literal; keys are longer, and so not less."""
    escaped = "".join(f"\\x{byte:02X}" for byte in _first(number, count).to_bytes(_BITS // 8, "big"))
    return f"'{escaped}'::BLOB"
