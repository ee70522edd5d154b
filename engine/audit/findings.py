"""The rows that are looked at again, and why: one table of both sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...store.stage import Stage
from ..heads.labels import Labels
from .confident import Doubts
from .same_texts import Groups
from .similar import Similar

REASONS = {
    "wrong_label": "label probably wrong",
    "contradiction": "another label on the same text",
    "leak": "same text as a training row, or nearly",
    "same_text": "same text as an earlier row",
    "near_duplicate": "nearly the text of an earlier row",
    "outlier": "like no other row",
}
"""Why a row is looked at again, in the order in which they are shown."""
_FENCE = 1.5
"""A row is an outlier so many times the distance of the quartiles below the lower one (Tukey 1977)."""


@dataclass(frozen=True)
class AuditedSet:
    """The labelled rows of a source, in order, and what was found of them."""

    name: str
    """``train`` or ``valid``."""
    stage: Stage
    targets: np.ndarray
    doubts: Doubts
    are_judged: np.ndarray
    """bool [rows]: whether heads could know the label."""
    similar: Similar | None
    """To earlier rows of the set."""
    to_train: Similar | None = None
    """Of validation rows, to training rows."""

    @property
    def closeness(self) -> np.ndarray:
        """float32 [rows]: the mean cosine to the nearest training rows; 0 where it was not computed."""
        if self.similar is None:
            return np.zeros(len(self.targets), np.float32)
        return self.similar.mean if self.to_train is None else self.to_train.mean


@dataclass(frozen=True)
class Findings:
    """Why the rows of both sets are looked at again; rows are numbered through both, train first."""

    sets: Sequence[AuditedSet]
    reasons: dict[str, np.ndarray]
    """bool [rows] by reason."""
    like: np.ndarray
    """int64 [rows]: the row that a row contradicts, or is like; -1 where there is none."""
    cosine: np.ndarray
    """float32 [rows]: to that row, where it is nearly the same; NaN elsewhere."""

    @classmethod
    def of(
        cls,
        sets: Sequence[AuditedSet],
        hashes: Sequence[np.ndarray],
        similarity: float | None,
        tolerance: float,
    ) -> "Findings":
        """``hashes`` are those of the sets' texts, see :func:`engine.audit.same_texts.text_hashes`. Rows are
        nearly the same from a cosine of ``similarity`` on, and labels contradict each other that differ by
        more than ``tolerance``.
        """
        rows = [len(one.targets) for one in sets]
        total, trained = sum(rows), rows[0]
        is_valid = np.arange(total) >= trained
        groups = Groups.of(np.concatenate(hashes))
        contradicted = groups.contradicted(np.concatenate([one.targets for one in sets]), tolerance)
        first, numbers = groups.first_rows(), np.arange(total)
        # The first row of a group that is in the same set.
        own = np.concatenate([_first_of(groups.of_rows[part]) for part in _parts(rows)])
        own[trained:] += trained
        leaked = np.where(is_valid & (first < trained), first, -1)
        near, cosine = _near(sets, similarity, trained)
        near_leak, leak_cosine = _near_training(sets, similarity, trained)
        same = np.where(own < numbers, own, -1)
        near = np.where(same >= 0, -1, near)
        near_leak = np.where(leaked >= 0, -1, near_leak)
        like, cosine_of = np.full(total, -1), np.full(total, np.nan, np.float32)
        for candidates, cosines in (
            (near, cosine), (same, None), (near_leak, leak_cosine), (leaked, None), (contradicted, None),
        ):  # fmt: skip
            found = candidates >= 0  # the later ones say more
            like[found] = candidates[found]
            cosine_of[found] = np.nan if cosines is None else cosines[found]
        reasons = {
            "wrong_label": np.concatenate([one.doubts.are_wrong & one.are_judged for one in sets]),
            "contradiction": contradicted >= 0,
            "leak": (leaked >= 0) | (near_leak >= 0),
            "same_text": same >= 0,
            "near_duplicate": near >= 0,
            "outlier": _outliers(sets),
        }
        return cls(sets, reasons, like, cosine_of)

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by reason, and by set."""
        parts = _parts([len(one.targets) for one in self.sets])
        return {
            reason: {one.name: int(rows[part].sum()) for one, part in zip(self.sets, parts, strict=True)}
            for reason, rows in self.reasons.items()
        }

    def table(self, labels: Labels) -> pa.Table:
        """The rows with a reason, those of the first reason first, and the worst of each first."""
        chosen = self._sorted()
        places = pa.concat_tables([one.stage.labelled_rows().cast(_PLACES) for one in self.sets])
        texts = _Texts(self.sets)
        targets, suggested = (
            np.concatenate([pick(one) for one in self.sets])
            for pick in (lambda one: one.targets, lambda one: one.doubts.suggested)
        )
        of_label, of_suggested = (
            np.concatenate([pick(one) for one in self.sets])[chosen]
            for pick in (lambda one: one.doubts.of_label, lambda one: one.doubts.of_suggested)
        )
        like, is_wrong = self.like[chosen], self.reasons["wrong_label"][chosen]
        unlike = like < 0
        names = np.concatenate([np.full(len(one.targets), one.name) for one in self.sets])
        hits = np.stack([self.reasons[reason][chosen] for reason in REASONS], 1)
        columns = {
            "set": pa.array(names[chosen]),
            **_prefixed("", places.take(pa.array(chosen)), texts.of(chosen)),
            "label": labels.named(targets[chosen]),
            "reasons": pa.ListArray.from_arrays(
                pa.array(np.concatenate([[0], np.cumsum(hits.sum(1))]).astype(np.int32)),
                pa.array(list(REASONS)).take(pa.array(np.nonzero(hits)[1])),
            ),
            "suggested": _where(labels.named(suggested[chosen]), is_wrong),
            "label_score": pa.array(of_label),
            "suggested_score": pa.array(of_suggested, mask=~is_wrong),
            "like_set": pa.array(names[like], mask=unlike),
            **_prefixed("like_", places.take(pa.array(like, mask=unlike)), texts.of(like)),
            "like_label": _where(labels.named(targets[like]), ~unlike),
            "cosine": pa.array(self.cosine[chosen], mask=np.isnan(self.cosine[chosen])),
        }
        return pa.table(columns)

    def _sorted(self) -> np.ndarray:
        """The rows with a reason, int64: by the first of their reasons, then the worst first."""
        names, hits = list(self.reasons), np.stack([*self.reasons.values()])
        first, numbers = hits.argmax(0), np.arange(hits.shape[1])
        # Rows that contradict each other stand together.
        group = np.where(first == names.index("contradiction"), np.minimum(self.like, numbers), 0)
        of_label = np.concatenate([one.doubts.of_label for one in self.sets])
        closeness = np.concatenate([one.closeness for one in self.sets])
        badness = np.select(
            [first == names.index("wrong_label"), first == names.index("outlier")],
            [of_label, closeness],
            -np.nan_to_num(self.cosine, nan=1),
        )
        order = np.lexsort((badness, group, first))
        has_reason = np.logical_or.reduce(list(self.reasons.values()))
        return order[has_reason[order]]


_PLACES = pa.schema([("source", pa.string()), ("row", pa.int64())])


class _Texts:
    """The texts of rows, numbered through the sets, read from where they are staged."""

    def __init__(self, sets: Sequence[AuditedSet]):
        self._sets = sets
        self.has_pairs = sets[0].stage.pair_column is not None

    def of(self, rows: np.ndarray) -> pa.Table:
        """``text`` (and ``pair``) of rows int64, null for -1."""
        names = ["text", "pair"] if self.has_pairs else ["text"]
        wanted = np.unique(rows[rows >= 0])
        parts, start = [], 0
        for one in self._sets:
            here = wanted[(wanted >= start) & (wanted < start + len(one.targets))] - start
            parts.append(_texts_at(one.stage, here, names))
            start += len(one.targets)
        places = np.searchsorted(wanted, rows)
        return pa.concat_tables(parts).take(pa.array(places, mask=rows < 0))


def _texts_at(stage: Stage, positions: np.ndarray, names: Sequence[str]) -> pa.Table:
    """Texts of labelled rows by their position among these, int64 in ascending order."""
    ids = np.flatnonzero(stage.rows_where("label IS NOT NULL"))[positions]
    schema = pa.schema([(name, pa.string()) for name in names])
    with stage.con.cursor() as cursor:
        cursor.register("wanted", pa.table({"id": ids}))
        columns = ", ".join(names)
        found = cursor.sql(
            f"SELECT {columns} FROM {stage.name} JOIN wanted USING (id) ORDER BY id"
        ).to_arrow_table()
    return found.cast(schema)


def _prefixed(prefix: str, *tables: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {f"{prefix}{name}": table.column(name) for table in tables for name in table.column_names}


def _where(values: pa.Array, kept: np.ndarray) -> pa.Array:
    """Values, and null where they are not kept."""
    return values.take(pa.array(np.arange(len(values)), mask=~kept))


def _parts(rows: Sequence[int]) -> list[slice]:
    stops = np.cumsum(rows).tolist()
    return [slice(stop - size, stop) for stop, size in zip(stops, rows, strict=True)]


def _first_of(groups: np.ndarray) -> np.ndarray:
    """The first row of each row's group, int64 [rows]."""
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return firsts[inverse]


def _near(
    sets: Sequence[AuditedSet], similarity: float | None, trained: int
) -> tuple[np.ndarray, np.ndarray]:
    """The earlier row of its set that each row is nearly the same as, or -1, and their cosines."""
    found = []
    for one, start in zip(sets, (0, trained), strict=False):
        found.append(_close(one.similar, len(one.targets), similarity, start))
    rows, cosines = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(cosines)


def _near_training(
    sets: Sequence[AuditedSet], similarity: float | None, trained: int
) -> tuple[np.ndarray, np.ndarray]:
    """The training row that each validation row is nearly the same as, or -1, and their cosines."""
    rows, cosines = np.full(trained, -1), np.full(trained, np.nan, np.float32)
    for one in sets[1:]:
        more, their = _close(one.to_train, len(one.targets), similarity, 0)
        rows, cosines = np.concatenate([rows, more]), np.concatenate([cosines, their])
    return rows, cosines


def _close(
    similar: Similar | None, rows: int, similarity: float | None, start: int
) -> tuple[np.ndarray, np.ndarray]:
    if similar is None or similarity is None:
        return np.full(rows, -1), np.full(rows, np.nan, np.float32)
    close = similar.cosine >= similarity
    return np.where(close, similar.row + start, -1), similar.cosine


def _outliers(sets: Sequence[AuditedSet]) -> np.ndarray:
    """bool [rows]: whether a row's nearest rows are further away than such of nearly all training rows."""
    closeness = np.concatenate([one.closeness for one in sets])
    if sets[0].similar is None:
        return np.zeros(len(closeness), np.bool_)
    lower, upper = np.quantile(sets[0].closeness, [0.25, 0.75])
    return closeness < lower - _FENCE * (upper - lower)
