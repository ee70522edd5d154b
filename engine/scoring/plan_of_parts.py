"""What workers are told that compute what heads give: a folder that one process writes, and all others read.

plan-…/
    plan.json           the heads, the groups of heads with the same features, where the outputs go
    batches.npy         the bounds of the batches, by the ids of the rows
    locations-0.npy     where the rows' features are, of each group of heads
    texts.parquet       the rows' texts, for heads that read them
    head-0/             the heads, as they were loaded: a worker needs not see where they came from
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from ...store import FeatureSpec, WorkerError
from ...store.places import folder_of, place_of, shown
from ...store.plan import exact_path, literal
from ...store.stage import Stage
from ..heads.head import Head
from .batches_of_ids import Batches
from .row_features import RowFeatures
from .tables import Group

_TEXT_ROWS = 8192  # in a row group: a part's rows are read without most of the others


def write_plan(
    folder: Path,
    outputs: Path,
    stage: Stage,
    groups: Sequence[Group],
    heads: Sequence[Head],
    group_of: Sequence[int],
    batches: Batches,
) -> None:
    """Write the plan of heads, each with the number of its group."""
    folder.mkdir(parents=True)
    np.save(folder / "batches.npy", batches.bounds)
    needs_texts = any(map(_needs_texts, heads))
    if needs_texts:
        _write_texts(stage, folder / "texts.parquet")
    for number, group in enumerate(groups):
        np.save(folder / f"locations-{number}.npy", group.locations)
    for number, head in enumerate(heads):
        head.save(folder / f"head-{number}")
    plan = {
        "outputs": str(outputs),
        "groups": [{"spec": one.spec.to_json(), "shards": list(map(shown, one.shards))} for one in groups],
        "heads": [
            {"group": group, "allow_code": head.code.is_allowed}
            for head, group in zip(heads, group_of, strict=True)
        ],
        "pair_column": stage.pair_column,
        "has_texts": needs_texts,
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def _needs_texts(head: Head) -> bool:
    return head.words is not None or (head.combination is not None and head.combination.needs_texts)


def _write_texts(stage: Stage, path: Path) -> None:
    stage.con.execute(
        f"COPY (SELECT id, text, pair FROM {stage.name} WHERE key IS NOT NULL) TO {literal(str(path))} "
        f"(FORMAT parquet, ROW_GROUP_SIZE {_TEXT_ROWS})"
    )


def require_seen(path: str | Path) -> None:
    """Raise WorkerError where a file of the unfinished output is not to be seen here."""
    if not Path(path).is_file():
        raise WorkerError(
            f"the worker cannot see '{path}', which lies beside the output while that is unfinished; choose "
            "an output in a folder that all machines share"
        )


@dataclass(frozen=True)
class _PartTexts:
    """The texts of the rows of one part; see :class:`enc.store.stage.StagedTexts`."""

    con: duckdb.DuckDBPyConnection
    pair_column: str | None
    name: str = "texts"

    def hold(self, path: Path, first: int, stop: int) -> None:
        """Hold the texts of rows with ids from ``first`` to before ``stop``, and no others."""
        self.con.execute(
            f"CREATE OR REPLACE TABLE {self.name} AS SELECT id, text, pair, true AS key "
            f"FROM read_parquet({exact_path(str(path))}) WHERE id >= {first} AND id < {stop}"
        )


class Plan:
    """A plan, as a worker reads it once for all its parts."""

    def __init__(self, folder: Path):
        """Raises WorkerError where the plan is not to be seen here, and HeadError for a head that cannot be
        used.

        The class of a head is imported where this was allowed, from the current folder, too.
        """
        require_seen(folder / "plan.json")
        self.path = folder
        plan: Mapping[str, Any] = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        self.outputs = Path(plan["outputs"])
        self.batches = Batches(np.load(folder / "batches.npy", mmap_mode="r"))
        groups = [_group(folder, number, one) for number, one in enumerate(plan["groups"])]
        if any(one["allow_code"] for one in plan["heads"]) and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        self.heads = [
            Head.load(folder / f"head-{number}", allow_code=one["allow_code"])
            for number, one in enumerate(plan["heads"])
        ]
        self.group_of: list[Group] = [groups[one["group"]] for one in plan["heads"]]
        # One thread reads the texts in the order in which they were written.
        self._texts = _PartTexts(duckdb.connect(config={"threads": 1}), plan["pair_column"])
        self._has_texts: bool = plan["has_texts"]
        self.rows = [
            RowFeatures(head, group, self._texts)
            for head, group in zip(self.heads, self.group_of, strict=True)
        ]

    def hold_texts(self, first: int, stop: int) -> None:
        """Have the texts of these rows at hand, if a head reads them."""
        if self._has_texts:
            self._texts.hold(self.path / "texts.parquet", first, stop)


def _group(folder: Path, number: int, told: Mapping[str, Any]) -> Group:
    shards = [str(folder_of(place_of(shard))) for shard in told["shards"]]
    locations = np.load(folder / f"locations-{number}.npy", mmap_mode="r")
    return Group([], [], FeatureSpec.from_json(told["spec"]), shards, locations)
