"""Vectors and their texts into a feature set of imported vectors: all of them, or none."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, FeatureTable, Source, SourceError, SpecError, Store, StoreError
from ...store.duck import workspace
from ...store.imported import imported_spec, stored_setting
from ...store.locks import one_at_a_time
from ...store.log_folder import SPEC_FILE, has_log
from ...store.lookup import Finder, Lookup, look_up_in
from ...store.naming import model_name, require_name
from ...store.progress import tell
from ...store.scratch import scratch_folder
from ...store.sides import require_joint
from ...store.source import pick_columns, with_text_columns
from ...store.stage import Stage, rejects_path, stage_source
from ...store.texts import is_table, write_table, write_texts
from ...store.whole_writer import WholeWriter
from .checks import Checker, block_rows, first_keys, require_alike
from .vectors import Vectors, open_vectors, require_known_form


@dataclass(frozen=True)
class ImportSummary:
    """What a run of :func:`import_features` did."""

    rows: int
    """Rows of texts and of vectors."""
    distinct: int
    """Distinct texts or pairs among them."""
    known: int
    """Those that the feature set had already, with the same vectors."""
    imported: int
    rejected: int
    """Rows without a usable text; their vectors are left out."""
    rejects: dict[str, int]
    """Rejected rows by reason."""
    rejects_file: str | None
    width: int
    """Numbers of a vector."""
    dtype: str
    """How they are stored."""
    feature_set: str
    version: int


def import_features(
    vectors: Any,
    texts: Any,
    store: Store | str | Path,
    *,
    model: str,
    name: str | None = None,
    pooling: str | None = None,
    max_length: int | None = None,
    prefix: str | None = None,
    dtype: str | None = None,
    vector_column: str | None = None,
    text_column: str | None = None,
    pair_column: str | None = None,
) -> ImportSummary:
    """Put vectors that another tool made into a feature set of their own kind, on which heads are trained.

    >>> import_features("vectors.npy", "reviews.tsv", "features", model="text-embedding-3-small")

    ``vectors`` are [rows, width] of float16, float32 or float64: the path of a ``.npy`` or Parquet file (a
    column of lists, ``vector_column`` where there are several), or an array in memory. ``texts`` have a row
    for each of them, in the same order: the path of a file, a :class:`Source`, or, in memory, a list or a
    Series of texts, or a table of pandas, polars or Arrow. ``model`` is the name of the model that made the
    vectors; ``pooling``, ``max_length`` in tokens and ``prefix`` are what is known of its setting. They are
    recorded, and tell one feature set from another. ``name`` is the feature set's, the model's unless given.
    ``dtype`` is how numbers are stored: float16 where they are that, else float32, unless given. What is not
    given is taken from the feature set, where it is there.

    All vectors are looked at before one is stored, and all are committed at once, or none. Rows without a
    usable text are left out. A vector of a text that is known already must be the one that is stored, to a
    thousandth of its largest number. Memory does not grow with the vectors, but by 30 bytes a row. Raises
    SourceError, which names the row, for vectors and texts that do not belong together, for numbers that are
    not finite, and for two different vectors of one text; StoreError where the feature set holds another
    vector of a text, and SpecError where it has another setting.
    """
    with ExitStack() as scope:
        require_known_form(vectors, vector_column)
        scratch = Path(scope.enter_context(scratch_folder()))
        source, title = _source_of(texts, text_column, pair_column, scratch)
        folder = Store(store).path / require_name(name or model_name(model))
        con = scope.enter_context(workspace())
        stage = stage_source(con, source, keep_text=False)
        if title != source.title:
            stage.name_file(0, title)
        given = open_vectors(vectors, vector_column, scratch)
        require_alike(stage, given, title)
        table = FeatureTable(folder) if has_log(folder) else None
        setting = {"pooling": pooling, "max_length": max_length, "prefix": prefix, "dtype": dtype}
        spec = _spec_of(model, given, setting, table)
        finder = Finder(con, table.shards if table else [], rows=stage.rows, ids=stage.ids)
        scope.callback(finder.close)
        found = look_up_in(finder, stage)
        Checker(con, stage, given, spec).require_consistent(found, finder, table, scratch)
        if found.missing:
            table = _write(
                Store(store), folder.name, spec, table, found.missing, _rows(con, stage, found, given)
            )
        rejects = stage.write_rejects(rejects_path(store, folder.name))
        return ImportSummary(
            rows=stage.rows,
            distinct=found.distinct,
            known=found.distinct - found.missing,
            imported=found.missing,
            rejected=stage.rejected,
            rejects=stage.reasons(),
            rejects_file=str(rejects) if rejects else None,
            width=given.width,
            dtype=spec.dtype,
            feature_set=folder.name,
            version=table.version if table else 0,
        )


def _source_of(
    texts: Any, text_column: str | None, pair_column: str | None, scratch: Path
) -> tuple[Source, str]:
    """The texts as a source, and how messages name it."""
    path = scratch / "the texts.parquet"
    if isinstance(texts, (str, Path, Source)):
        given = texts if isinstance(texts, Source) else Source(texts)
        source = with_text_columns(given, text_column, pair_column)
        if source.query or source.where:
            raise SourceError(
                "vectors belong to the rows of whole files, in their order: leave out the query and the "
                "condition, or write their rows to a file first"
            )
        require_joint(source)
        return source, source.title
    if is_table(texts):
        names = write_table(texts, path)
        source = Source(path, text_column=text_column, pair_column=pair_column, format="parquet")
        pick_columns(source, names, "the table")
        return source, "the table"
    return write_texts(texts, None, path), "the texts"


def _spec_of(model: str, given: Vectors, setting: dict[str, Any], table: FeatureTable | None) -> FeatureSpec:
    """The setting of vectors; what is None is that of the table, where there is one.

    Raises SpecError where the table has another setting.
    """
    if table is None:
        usual = "float16" if given.dtype.itemsize == 2 else "float32"
        return imported_spec(model, given.width, **{**setting, "dtype": setting["dtype"] or usual})
    stored, name = table.spec, table.name
    if not stored.imported:
        raise SpecError(
            f"feature set '{name}' holds features that enc made with '{stored.model}', and takes no vectors "
            "from elsewhere; pass another --features"
        )
    if stored.imported != model:
        raise SpecError(
            f"feature set '{name}' holds vectors of '{stored.imported}', not of '{model}'; pass another "
            "--features"
        )
    if stored.shape != (given.width,):
        raise SpecError(
            f"feature set '{name}' holds vectors of {stored.shape[0]:,} numbers, and {given.title} has "
            f"{given.width:,}; pass another --features"
        )
    asked = {key: value for key, value in setting.items() if value is not None}
    spec = imported_spec(model, given.width, **{**stored_setting(stored), **asked})
    table.require(spec)
    return spec


def _rows(
    con: duckdb.DuckDBPyConnection, stage: Stage, found: Lookup, vectors: Vectors
) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Keys and vectors of the first row of each text that the table lacks."""
    stored = 0
    for ids, keys in first_keys(con, stage, found, block_rows(vectors)):
        tell("storing", stored, found.missing)
        block = vectors.block(int(ids[0]), int(ids[-1]) + 1)
        yield keys, block[ids - ids[0]]
        stored += len(ids)
    tell("storing", stored, found.missing)
    vectors.require_unchanged()  # since they were looked at, and before they are committed


def _write(
    store: Store,
    name: str,
    spec: FeatureSpec,
    seen: FeatureTable | None,
    count: int,
    rows: Iterator[tuple[pa.Array, np.ndarray]],
) -> FeatureTable:
    """Add rows to the table, which is made where it was not there when it was ``seen``."""
    table = store.create(name, spec)
    with one_at_a_time(table.path / SPEC_FILE):
        if table.refresh().version != (seen.version if seen else 0):
            raise StoreError(
                f"another process has written to feature set '{name}' meanwhile; run this again, and the "
                "vectors are compared with what it wrote"
            )
        try:
            with WholeWriter(table, count) as writer:
                for keys, features in rows:
                    unknown = np.zeros(len(keys), np.int32)
                    writer.write(keys, unknown, unknown.astype(np.bool_), features)
        except BaseException:
            if seen is None:  # nobody is left with an empty feature set
                with suppress(OSError, StoreError):
                    if isinstance(table.path, Path) and not table.refresh().logged:
                        shutil.rmtree(table.path)
            raise
    return table
