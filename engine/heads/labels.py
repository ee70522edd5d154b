"""Class labels: from what stands in a column to class numbers, and back in the type they came in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...store import LabelError, SourceError, plan
from ...store.duck import count
from ...store.nearest import did_you_mean
from ...store.stage import Stage

MAX_CLASSES = 10_000
_COUNTED_ROWS = 1 << 20
LABELS_SQL = "from_json(label, '[\"VARCHAR\"]')"
"""A row's labels as a list of texts, where they are staged as a JSON list."""
_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")


@dataclass(frozen=True)
class Labels:
    """The classes of a head in their order: class i is ``values[i]``; all are int, all bool or all str.

    A regression has none.
    """

    values: tuple[int, ...] | tuple[bool, ...] | tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise LabelError for values of several kinds, or one that is there twice."""
        kinds = {type(value) for value in self.values}
        if len(kinds) > 1 or not kinds <= {int, bool, str} or len(set(self.values)) < len(self.values):
            raise LabelError(
                f"labels must be texts, whole numbers or booleans, each once: {list(self.values)}"
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def kind(self) -> type:
        """int, bool or str."""
        return type(self.values[0])

    @classmethod
    def parse(cls, values: Sequence[str]) -> "Labels":
        """Labels as they are written in a list, in that order: integers if all of them are."""
        texts = [value.strip() for value in values]
        if len(set(texts)) != len(texts) or len(texts) < 2 or not all(texts):
            raise LabelError(f"labels must be two or more, each named once, not '{','.join(values)}'")
        if not all(map(_is_integer, texts)):
            return cls(tuple(texts))
        numbers = list(map(int, texts))
        _require_64_bits(numbers, "the list")
        return cls(tuple(numbers))

    def arrow(self) -> pa.Array:
        """The values as int64, bool or string."""
        return pa.array(self.values)

    def named(self, decisions: np.ndarray) -> pa.Array:
        """Labels of class numbers [rows], null for -1; lists of labels of 0 and 1 [rows, labels].

        Without labels, a regression's numbers, float32.
        """
        if not self.values:
            return pa.array(decisions, pa.float32())
        if decisions.ndim == 1:
            return self.arrow().take(pa.array(decisions, mask=decisions < 0))
        rows, labels = np.nonzero(decisions)
        offsets = np.searchsorted(rows, np.arange(len(decisions) + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), self.arrow().take(pa.array(labels)))

    def number(self, raw: str) -> int | None:
        """Class number of a label as it stands in a column; None if it is none of them."""
        parsed = _parse(raw, self.kind)
        return self.values.index(parsed) if parsed in self.values else None  # type: ignore[arg-type]

    @classmethod
    def of(cls, stage: Stage) -> "Labels":
        """The sorted distinct labels of a stage's usable rows.

        Integers stay integers; TSV and CSV have no types, so there a column of nothing but
        integers counts as one. Raises LabelError where the column cannot hold classes.
        """
        raw = distinct_labels(stage)
        if len(raw) < 2:
            title = stage.source.title
            raise LabelError(
                f"{title} has {len(raw) or 'no'} distinct label{'s' * (not raw)}; training needs at "
                f"least two classes{_rejects_of(stage)}"
            )
        return cls._of_raw(raw, stage, stage.label_type)

    @classmethod
    def of_lists(cls, stage: Stage) -> "Labels":
        """The sorted distinct labels in a stage's lists of labels; of several 0/1 columns, their names as
        they were given.
        """
        if len(stage.label_columns) > 1:
            return cls(stage.label_columns)
        raw = distinct_labels(stage, f"unnest({LABELS_SQL})")
        if len(raw) < 2:
            raise LabelError(
                f"the lists of {stage.source.title} have {len(raw) or 'no'} distinct label{'s' * (not raw)}; "
                "training needs at least two (for one, a column of 0 and 1 will do)"
                f"{_rejects_of(stage)}"
            )
        return cls._of_raw(raw, stage, (stage.label_type or "").removesuffix("[]"))

    @classmethod
    def _of_raw(cls, raw: list[str], stage: Stage, label_type: str | None) -> "Labels":
        title, declared = stage.source.title, (label_type or "").split("(")[0]
        if declared == "BOOLEAN":
            return cls((False, True))
        if declared in _INTEGERS + _FLOATS or (not stage.typed and all(_is_integer(r) for r in raw)):
            numbers = [_parse(r, int) for r in raw]
            if None in numbers:
                example = raw[numbers.index(None)]
                raise LabelError(
                    f"the label column of {title} holds fractions such as {example}; classes must be "
                    "whole numbers or text, "
                    "and --task regression is for numbers"
                )
            _require_64_bits(numbers, title)  # type: ignore[arg-type]
            return cls(tuple(sorted(set(numbers))))  # type: ignore[type-var,arg-type]
        return cls(tuple(sorted(raw)))

    def numbers_in(self, stage: Stage) -> tuple[list[str], np.ndarray]:
        """What stands in a stage's label column, each text once, and its class numbers, int64 [texts].

        Raises LabelError, naming the first row, for a label that is not one of the classes.
        """
        texts = distinct_labels(stage)
        return texts, self.numbers_of(texts, stage, lambda text: f"label = {plan.literal(text)}")

    def numbers_of(self, texts: Sequence[str], stage: Stage, holding: Callable[[str], str]) -> np.ndarray:
        """Class numbers int64 [texts]; ``holding`` is the SQL condition of the rows with a text as their
        label.

        Raises LabelError, naming the first row of a stage, for a label that is not one of the classes.
        """
        numbers = [self.number(text) for text in texts]
        if None in numbers:
            text = texts[numbers.index(None)]
            raise LabelError(
                f"unknown label '{text}' in {first_place(stage, holding(text))}; "
                f"the head's labels are: {listing(self.values)}{did_you_mean(text, map(str, self.values))}"
            )
        return np.array(numbers, np.int64)


def class_counts(numbers: np.ndarray, classes: int) -> np.ndarray:
    """Rows by class, int64 [classes], of class numbers [rows] of any integer type."""
    counts = np.zeros(classes, np.int64)
    for start in range(0, len(numbers), _COUNTED_ROWS):  # NumPy makes int64 of all that it counts
        counts += np.bincount(numbers[start : start + _COUNTED_ROWS], minlength=classes)
    return counts


def _rejects_of(stage: Stage) -> str:
    """What a message adds where rows of a stage, and their labels, are not there: they were rejected."""
    if not stage.rejected:
        return ""
    return (
        f"; {stage.rejected:,} of its {stage.rows:,} rows are rejected, the first is {stage.first_reject()}"
    )


def distinct_labels(stage: Stage, value: str = "label") -> list[str]:
    """What stands in the label column of a stage's usable rows, sorted.

    Raises SourceError for more than MAX_CLASSES.
    """
    labelled = f"SELECT {value} AS value FROM {stage.name} WHERE key IS NOT NULL AND label IS NOT NULL"
    rows = []
    # A column of other things, such as texts, has as many values as rows: they are not even collected.
    about = stage.con.sql(f"SELECT approx_count_distinct(value) FROM ({labelled})").fetchall()[0][0]
    if about <= 2 * MAX_CLASSES:
        rows = stage.con.sql(
            f"SELECT DISTINCT value FROM ({labelled}) WHERE value IS NOT NULL ORDER BY value"
        ).fetchall()
    if max(about // 2, len(rows)) > MAX_CLASSES:
        raise SourceError(
            f"the label column of {stage.source.title} has over {MAX_CLASSES} distinct values; is it "
            "the right one? --task regression is for numbers"
        )
    return [row[0] for row in rows]


def first_place(stage: Stage, condition: str) -> str:
    """The first of a stage's usable rows for which a condition holds, and how many there are: ``file, row 3
    (2 in all)``.
    """
    matches = f"{stage.name} WHERE key IS NOT NULL AND {condition}"
    rows = stage.con.sql(
        f"SELECT f.name, s.row FROM (SELECT * FROM {matches}) s JOIN {stage.name}_files f ON f.id = s.source "
        "ORDER BY s.source, s.row LIMIT 1"
    ).fetchall()
    return f"{rows[0][0]}, row {rows[0][1]} ({count(stage.con, matches)} in all)"


def _require_64_bits(numbers: Sequence[int], title: str) -> None:
    """Raise LabelError for a label that no column of 64-bit integers can hold, as predictions must."""
    for number in numbers:
        if not -(1 << 63) <= number < 1 << 63:
            raise LabelError(
                f"label {number} of {title} is beyond 64 bits; make texts of the labels: "
                "--query \"SELECT …, 'id ' || label AS label FROM …\""
            )


def _is_integer(raw: str) -> bool:
    return raw.removeprefix("-").isdecimal() and str(int(raw)) == raw


def _parse(raw: str, kind: type) -> int | bool | str | None:
    """A label as a value of ``kind``, None if it is not one.

    1.0 is the integer 1, as pandas writes it beside gaps.
    """
    if kind is str:
        return raw
    if kind is bool:
        return {"false": False, "true": True, "0": False, "1": True}.get(raw.lower())
    try:
        number = float(raw)
        return (
            int(raw) if raw.removeprefix("-").isdecimal() else int(number) if number == int(number) else None
        )
    except (ValueError, OverflowError):
        return None


def listing(values: Sequence[object], most: int = 10) -> str:
    """The first labels of many, shortened, for a message."""
    shown = ", ".join(text if len(text) <= 30 else f"{text[:29]}…" for text in map(str, values[:most]))
    return shown if len(values) <= most else f"{shown}, … ({len(values)} in all)"
