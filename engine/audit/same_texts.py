"""Which rows have the same text, but for case, width of characters and white space."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...store import plan
from ...store.stage import Stage

_READ_ROWS = 1 << 14
_BETWEEN = "\x1f"  # the two texts of a pair


def normalized(texts: pa.Array) -> pa.Array:
    """Texts with compatible characters made one (NFKC: full and half width, ligatures), in lower case, with
    one space for any white space and none at the ends, and without zero-width spaces.

    Punctuation stays: ``:)`` and ``:(`` are two texts.
    """
    texts = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))  # type: ignore[attr-defined]
    texts = pc.replace_substring_regex(texts, "[\u200b\ufeff]", "")  # type: ignore[attr-defined]
    return pc.utf8_trim_whitespace(  # type: ignore[attr-defined]
        pc.replace_substring_regex(texts, r"[\s\p{Z}]+", " ")  # type: ignore[attr-defined]
    )


def text_hashes(stage: Stage) -> np.ndarray:
    """128 bits of the normalized text, or pair, of each usable row with a label, uint64 [rows, 2], in order.

    The stage must hold texts.
    """
    columns = "text" if stage.pair_column is None else "text, pair"
    found = [np.empty((0, 2), np.uint64)]
    with stage.con.cursor() as reading, stage.con.cursor() as hashing:
        rows = reading.sql(plan.rows_sql(stage.name, columns, "label IS NOT NULL"))
        for batch in rows.to_arrow_reader(_READ_ROWS):
            sides = [normalized(column) for column in batch.columns]
            texts = sides[0] if len(sides) == 1 else pc.binary_join_element_wise(*sides, _BETWEEN)  # type: ignore[attr-defined]
            hashing.register("some_texts", pa.table({"text": texts}))
            halves = hashing.sql("SELECT md5_number_upper(text), md5_number_lower(text) FROM some_texts")
            found += [np.stack(list(halves.fetchnumpy().values()), 1).astype(np.uint64)] if len(texts) else []
            hashing.unregister("some_texts")
    return np.concatenate(found)


@dataclass(frozen=True)
class Groups:
    """Rows by what they have in common."""

    of_rows: np.ndarray
    """int64 [rows]: the number of each row's group."""
    firsts: np.ndarray
    """int64 [groups]: the first row of each group."""

    @classmethod
    def of(cls, hashes: np.ndarray) -> "Groups":
        """Rows by their hashes uint64 [rows, 2]."""
        _, firsts, groups = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
        return cls(groups.reshape(-1), firsts)

    def first_rows(self) -> np.ndarray:
        """int64 [rows]: the first row of each row's group."""
        return self.firsts[self.of_rows]

    def contradicted(self, targets: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
        """int64 [rows]: a row of the same group whose target differs by more than ``tolerance``; -1 if none.

        Targets are [rows] or [rows, labels]. Of several, it is the first row of the group where that differs,
        or else the one that differs most from the first.
        """
        values = targets.reshape(len(targets), -1).astype(np.float64)
        first = self.first_rows()
        far = np.abs(values - values[first]).max(1)
        order = np.lexsort((far, self.of_rows))
        last_of_group = order[np.cumsum(np.bincount(self.of_rows)) - 1]  # the furthest from the first row
        other = last_of_group[self.of_rows]
        from_other = np.abs(values - values[other]).max(1)
        found = np.where(far > tolerance, first, np.where(from_other > tolerance, other, -1))
        return found.astype(np.int64)
