"""Where the features of a source's rows are, found in one pass over the source.

The texts of Parquet files are hashed and looked up as they are read, and nothing is kept of a row but its
location. Sources of other formats, those whose labels or texts are wanted, and pairs whose texts are encoded
apart are staged in a table first. Of such pairs, the texts are looked up (:mod:`enc.store.sides`).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import SourceError
from .key_ranges import key_words
from .lookup import Finder, Lookup, look_up_in
from .page_sizes import UNREADABLE
from .sides import encoded_texts
from .source import Source
from .stage import Picking, Stage, stage_source


class Located:
    """The rows of a source, and where their features are in several feature sets; a context manager.

    Raises as :func:`enc.store.stage.stage_source`.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        shards: Sequence[Sequence[str]],
        *,
        label_column: str | Sequence[str] | None = None,
        keep_text: bool = False,
    ):
        """``shards`` are those of each feature set; with ``keep_text`` the stage has all texts."""
        self._con, self._source, self._scope = con, source, ExitStack()
        files = [] if source.query else source.files()
        is_parquet = bool(files) and all(source.format_of(file) == "parquet" for file in files)
        self._is_parquet = is_parquet and not source.is_separate
        self._finders: list[Finder] = []
        self.stage: Stage
        """The rows. Of Parquet files without labels or texts, its table has only those that cannot be used.
        """
        self.lookups: list[Lookup]
        """Of each feature set."""
        with self._scope:
            if self._is_parquet and not label_column and not keep_text:
                self._stream(files, shards)
            else:
                self.stage = stage_source(con, source, label_column=label_column, keep_text=keep_text)
                texts = encoded_texts(self.stage)
                self._finders = self._finders_of(shards, texts.rows, texts.ids)
                self.lookups = [look_up_in(finder, texts) for finder in self._finders]
            self._scope = self._scope.pop_all()

    def __enter__(self) -> "Located":
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.close()

    def stage_missing(self) -> Stage:
        """A stage with the texts that are missing in any feature set; of Parquet files, with no others."""
        if self._source.is_separate:
            return encoded_texts(self.stage)
        if not self._is_parquet:
            return stage_source(self._con, self._source, "texts")
        wanted = np.logical_or.reduce([found.is_first_missing for found in self.lookups])

        def pick(batch: pa.RecordBatch) -> pa.RecordBatch:
            ids = batch.column("id").to_numpy()
            _require_below(ids, len(wanted), self._source)
            return batch.filter(pa.array(wanted[ids]))

        picking = Picking(self.stage.first_ids, self.stage.ids, pick)
        return stage_source(self._con, self._source, "texts", picking=picking)

    def find_missing_in(self, number: int, shards: Sequence[str], first_shard: int) -> None:
        """Look for what a feature set did not have in more shards of it; see :class:`Finder`."""
        self._finders[number].find_missing_in(shards, first_shard)

    def _finders_of(self, shards: Sequence[Sequence[str]], rows: int, ids: int) -> list[Finder]:
        con = self._scope.enter_context(self._con.cursor())
        return [self._scope.enter_context(closing(Finder(con, some, rows=rows, ids=ids))) for some in shards]

    def _stream(self, files: Sequence[str], shards: Sequence[Sequence[str]]) -> None:
        sizes = [_rows_of(file) for file in files]
        rows = sum(sizes)
        seen = np.zeros(rows, np.bool_)

        def pick(batch: pa.RecordBatch) -> pa.RecordBatch:
            ids, keys = batch.column("id").to_numpy(), batch.column("key")
            _require_below(ids, rows, self._source)
            seen[ids] = True
            rejected = batch.slice(0, 0)
            if keys.null_count:
                is_rejected = keys.is_null()
                rejected = batch.filter(is_rejected)
                keys, ids = keys.drop_null(), ids[~is_rejected.to_numpy(zero_copy_only=False)]
            words = key_words(keys)
            for finder in finders.result():
                finder.add(words, ids)
            return rejected

        first_ids = tuple(np.cumsum([0, *sizes[:-1]]).tolist())
        picking = Picking(first_ids, rows, pick)
        with ThreadPoolExecutor(1, "enc-index") as thread:
            # The stored keys are arranged while the first texts are hashed.
            finders = thread.submit(self._finders_of, shards, rows, rows)
            stage = stage_source(self._con, self._source, keep_text=False, picking=picking)
        if not self._source.where and not seen.all():
            raise _changed(self._source)
        self.stage = replace(stage, rows=int(np.count_nonzero(seen)), seen=seen)
        self._finders = finders.result()
        self.lookups = [finder.finish() for finder in self._finders]


def _rows_of(file: str) -> int:
    """Rows of a Parquet file. Raises SourceError for what is none."""
    try:
        return pq.read_metadata(file).num_rows
    except UNREADABLE as error:
        said = str(error).partition("\n")[0]
        raise SourceError(f"{file} cannot be read: {said}") from error


def _require_below(ids: np.ndarray, limit: int, source: Source) -> None:
    if len(ids) and int(ids.max()) >= limit:
        raise _changed(source)


def _changed(source: Source) -> SourceError:
    return SourceError(f"{source.title} changed while it was read; run this again when it is complete")
