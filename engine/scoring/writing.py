"""Writing the output files, so that finished row groups outlive an interruption."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from itertools import islice

import numpy as np
import pyarrow as pa

from ...store.prefetch import computed_ahead, prefetched
from .batches_of_ids import batch_rows
from .jobs import Job
from .parquet_input import changed
from .partial_file import PartialFile, PartialFileError
from .rows import Rows
from .scorer import Scorer
from .tally import Tally
from .unfinished import Finished, Unfinished

PART_SECONDS = 5.0  # so much scoring is lost at the most, and what is being made; nothing else depends on it


class Writing:
    """Writes one output file; what an interrupted run finished of it stays."""

    def __init__(
        self,
        number: int,
        job: Job,
        schema: pa.Schema,
        rows: Rows,
        scorers: Sequence[Scorer],
        kept: Unfinished,
        scored: Callable[[int], None],
    ):
        """``number`` is that of the job in ``kept``; ``scored`` is called with rows that are done."""
        self._count = scored
        self._number, self._job, self._schema = number, job, schema
        self._rows, self._scorers, self._kept = rows, scorers, kept
        self._added = [one for scorer in scorers for one in scorer.added.fields()]

    def run(self) -> Tally:
        """Score and write what is not there yet; returns the counts of the whole file."""
        done = self._kept.placed(self._number, self._job.output)
        if done is not None:
            self._count(done.rows)
            return done
        try:
            file = self._opened(self._kept.finished(self._number))
        except (PartialFileError, FileNotFoundError):
            self._kept.begin_again(self._number)
            file = self._opened([])
        with closing(file):
            return self._write(file, self._kept.finished(self._number))

    def _opened(self, finished: Sequence[Finished]) -> PartialFile:
        return PartialFile(
            self._kept.rows_file(self._number),
            self._schema,
            self._rows.compression(self._job),
            self._added,
            [one.part for one in finished],
            self._rows.unique(self._job),
        )

    def _write(self, file: PartialFile, finished: Sequence[Finished]) -> Tally:
        none = Tally(labels=tuple(np.zeros(len(s.added.head.labels), np.int64) for s in self._scorers))
        batches, tally = (finished[-1].batches, finished[-1].tally) if finished else (0, none)
        ended: tuple[int, Tally] | None = None  # row groups that are written and no part yet

        def end_part() -> None:
            nonlocal ended
            at, ended = ended, None  # never tried twice: parts that follow each other make the file
            if at:
                self._rows.require_unchanged(self._job)  # what was read may not be what was there before
                self._kept.add(self._number, Finished(file.end_part(), *at))

        last = time.monotonic()
        self._count(tally.rows)
        # One thread reads, others score, and this one writes.
        with closing(self._scored(batches, tally.rows)) as scored:
            is_writing = False
            try:
                for batch, counts in scored:
                    is_writing = True
                    is_end = file.write(batch)
                    is_writing = False
                    batches, tally = batches + 1, tally + counts
                    self._count(counts.rows)
                    if is_end:
                        ended = batches, tally
                        if time.monotonic() - last >= PART_SECONDS:
                            end_part()
                            last = time.monotonic()
            except BaseException:
                if not is_writing:
                    with suppress(Exception):  # what ended the run is told
                        end_part()
                raise
        self._rows.require_unchanged(self._job)
        self._kept.place(self._number, self._job.output, file.complete(tally.rows), tally)
        return tally

    def _scored(self, skipped: int, skipped_rows: int) -> Generator[tuple[pa.RecordBatch, Tally], None, None]:
        """Batches of the output, after so many, and their counts."""
        names = self._schema.names[: len(self._schema.names) - len(self._added)]
        size = batch_rows([scorer.spec for scorer in self._scorers])
        with closing(prefetched(self._rows.batches(self._job, size, names), "enc-read")) as batches:
            if sum(batch.num_rows for batch, _ in islice(batches, skipped)) != skipped_rows:
                raise changed(self._job.inputs[0])
            threads = min(scorer.threads for scorer in self._scorers)
            with closing(computed_ahead(self._score, batches, "enc-score", threads=threads)) as scored:
                yield from scored

    def _score(self, read: tuple[pa.RecordBatch, np.ndarray]) -> tuple[pa.RecordBatch, Tally]:
        """A batch of the output, and its counts, of columns and ids of its rows."""
        batch, ids = read
        found = [scorer.score(ids) for scorer in self._scorers]
        columns = [*batch.columns, *(one for columns, _, _ in found for one in columns)]
        tally = Tally(batch.num_rows, found[0][1], tuple(counts for _, _, counts in found))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema), tally
