"""Scoring by several processes: they encode the texts that are new, and compute what heads give for the rows.

The process that divides the work reads the inputs, knows which rows are rejected, and writes the outputs, as
it does alone: so there is one answer to every question about the rows, and nobody else needs to see the
inputs. The workers see the folder of the unfinished output (:mod:`engine.scoring.unfinished`) and the store.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import FeatureTable, Share, Source, Store, StoreError, WorkerError
from ...store.files import replaced_file
from ...store.lookup import Lookup
from ...store.stage import Stage
from ..encode.build import BuildSummary, Work
from ..encode.encoder import Encoder
from ..heads.head import Head
from ..runners.job import BuildJob
from ..runners.task import Team
from ..runners.total import total_of
from .batches_of_ids import Batches, are_known, batch_rows
from .encode_task import EncodeTask
from .outputs_task import OutputsTask, part_file
from .part_files import is_whole, mapped_part
from .plan_of_parts import write_plan
from .tables import Group
from .unfinished import OF_ROWS, Unfinished

_READ_ROWS = 8192
_TEXTS_PER_WORKER = 100  # for fewer, another worker is not started


@dataclass(frozen=True)
class Division:
    """A team that divides the work of one output."""

    team: Team
    kept: Unfinished
    encoder: Mapping[str, Any]
    """What is asked of the encoder: ``model``, ``backend``, ``precision``, ``device``; where one is not
    named, what :meth:`engine.runners.job.BuildJob.of` has.
    """

    @property
    def _folder(self) -> Path:
        return Path(os.path.abspath(self.kept.folder))

    def encode(self, texts: Stage, work: Work, table: FeatureTable, encoder: Encoder, number: int) -> None:
        """Have the missing texts of group ``number`` encoded, and count them in ``work``.

        Raises WorkerError for what goes wrong in a worker; what was encoded until then is in the table.
        """
        started, path = time.perf_counter(), self._folder / f"missing-{number}.parquet"
        source = _write_missing(texts, work.found, path)
        store = Store(str(table.path.absolute().parent))
        job = BuildJob.of(source, store, encoder, name=table.name, **self.encoder)
        count = min(self.team.workers, -(-work.missing // _TEXTS_PER_WORKER))
        tasks = [EncodeTask(job, Share(share, count)) for share in range(1, count + 1)]
        before = table.version

        def has_grown() -> bool:
            try:
                return table.refresh().version > before
            except StoreError:  # another error is told, and nobody knows
                return True

        self.kept.divide(has_grown)
        found = self.team.run(tasks)
        total = total_of(
            [BuildSummary(**one) for one in found], time.perf_counter() - started, self.team.workers
        )
        if total.distinct != work.missing or total.rejected:
            raise WorkerError(
                f"the workers found {total.distinct:,} texts in '{path}', to which {work.missing:,} were "
                "written; run this again"
            )
        table.refresh()
        work.encoded = total.encoded
        path.unlink(missing_ok=True)

    def rows(
        self,
        stage: Stage,
        groups: Sequence[Group],
        heads: Mapping[str, Head],
        settings: Mapping[str, Any],
    ) -> "dict[str, ComputedRows]":
        """What the heads give for the rows of a stage, by their prefixes; all texts have features.

        Workers compute what an interrupted run of the same settings has not. Raises WorkerError for what goes
        wrong in a worker.
        """
        group_of = {name: number for number, group in enumerate(groups) for name in group.heads}
        specs = [groups[group_of[name]].spec for name in heads]
        batches = Batches.of(stage.first_ids, stage.ids, batch_rows(specs))
        outputs = self._folder / f"outputs-{_digest(settings, batches)}"
        found = {
            name: ComputedRows(outputs, number, head, groups[group_of[name]].locations, batches)
            for number, (name, head) in enumerate(heads.items())
        }
        missing = _missing(found)
        if missing:
            plan = self._folder / f"plan-{uuid.uuid4().hex}"
            for left in self._folder.glob("plan-*"):  # of a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            try:
                numbers = [group_of[name] for name in heads]
                write_plan(plan, outputs, stage, groups, list(heads.values()), numbers, batches)
                self.kept.divide(lambda: any(outputs.glob("*.part")))
                self.team.run([OutputsTask(str(plan), part, batches.parts) for part in missing])
            finally:
                shutil.rmtree(plan, ignore_errors=True)
            if left := _missing(found):
                raise WorkerError(
                    f"{len(left)} of the files that workers wrote to '{outputs}' are not to be seen here, or "
                    "not whole; choose an output in a folder that all machines share"
                )
        return found


class ComputedRows:
    """What a head gives for rows, as workers found it: :class:`engine.scoring.row_features.RowOutputs`."""

    def __init__(self, folder: Path, number: int, head: Head, locations: np.ndarray, batches: Batches):
        """``number`` is that of the head among all, and ``locations`` are those of its group."""
        self._folder, self._number, self._width = folder, number, head.outputs_count
        self._locations, self._batches = locations, batches
        self._starts = batches.part_starts()
        self._maps: dict[int, np.ndarray] = {}

    def are_known(self, ids: np.ndarray) -> np.ndarray:
        """Whether there are features of the rows with these ids, bool [n]."""
        return are_known(self._locations, ids)

    def outputs(self, ids: np.ndarray) -> np.ndarray:
        """The head's outputs float32 [n, outputs] of rows with features; their ids ascend."""
        parts = np.searchsorted(self._starts, ids, side="right") - 1
        found = np.empty((len(ids), self._width), np.float32)
        for part in np.unique(parts).tolist():
            is_here = parts == part
            found[is_here] = self._map(part)[ids[is_here] - self._starts[part]]
        return found

    def missing(self) -> set[int]:
        """The parts of which there is no whole file."""
        return {part for part in range(self._batches.parts) if not self._is_whole(part)}

    def _is_whole(self, part: int) -> bool:
        known = are_known(self._locations, slice(*self._span(part)))
        return is_whole(part_file(self._folder, self._number, part), self._width, known)

    def _map(self, part: int) -> np.ndarray:
        if part not in self._maps:
            first, stop = self._span(part)
            path = part_file(self._folder, self._number, part)
            self._maps[part] = mapped_part(path, stop - first, self._width)
        return self._maps[part]

    def _span(self, part: int) -> tuple[int, int]:
        bounds = self._batches.part(part)
        return int(bounds[0]), int(bounds[-1])


def _missing(rows: Mapping[str, ComputedRows]) -> list[int]:
    return sorted(set().union(*(one.missing() for one in rows.values())))


def _digest(settings: Mapping[str, Any], batches: Batches) -> str:
    """SHA-256 of what the outputs of heads depend on, shortened."""
    kept = {name: value for name, value in settings.items() if name not in OF_ROWS}
    total = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    total.update(batches.bounds.tobytes())
    return total.hexdigest()[:32]


def _write_missing(texts: Stage, found: Lookup, path: Path) -> Source:
    """Write the texts that are missing to a file; returns the source of it."""
    names = ["text"] if texts.pair_column is None else ["text", "pair"]
    schema = pa.schema([(name, pa.large_string()) for name in names])
    with (
        texts.con.cursor() as cursor,
        replaced_file(path) as part,
        pq.ParquetWriter(part, schema, compression="zstd") as writer,
    ):
        for batch in found.missing_texts(cursor, texts, _READ_ROWS):
            writer.write_table(pa.Table.from_batches([batch.select(names)]).cast(schema))
    return Source(str(path), "text", "pair" if len(names) > 1 else None, format="parquet")
