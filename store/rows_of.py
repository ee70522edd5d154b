"""From a source, or texts in memory, to the features of their rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .copying import query_as_file
from .duck import workspace
from .errors import MissingFeatures
from .feature_rows import FeatureRows
from .lookup import NOWHERE, look_up
from .parts import select_parts
from .required import require_features
from .scratch import scratch_folder
from .source import Source, pick_columns
from .spec import FeatureSpec
from .stage import stage_source
from .table import FeatureTable
from .texts import is_table, write_table, write_texts


def rows_of_source(
    source: Source, table: FeatureTable, use: FeatureSpec | str | None = None, *, complete: bool = True
) -> FeatureRows:
    """The features of a source's rows; see :meth:`enc.store.catalog.Store.features`.

    Rows are those that parse, and for which the source's condition holds. With ``complete``, texts that the
    table does not hold raise MissingFeatures.
    """
    spec = select_parts(table.spec, use) if isinstance(use, str) else use
    with workspace() as con, scratch_folder() as folder:
        read = query_as_file(con, source, Path(folder)) if source.query else source
        stage = stage_source(con, read, keep_text=False)
        found = look_up(stage, table.listed_shards)
        if complete:
            require_features(table, [(replace(stage, source=source), found)])
        locations, usable = np.array(found.locations), stage.rows_where("true")
        if source.where:
            kept = stage.kept_ids()
            locations, usable = locations[kept], usable[kept]
    locations[~usable] = NOWHERE
    return FeatureRows(table, locations, np.flatnonzero(~usable), spec)


def rows_of_texts(
    texts: Any,
    pairs: Any,
    table: FeatureTable,
    use: FeatureSpec | str | None = None,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    complete: bool = False,
) -> FeatureRows:
    """The features of texts in memory; see :meth:`enc.store.table.FeatureTable.lookup`."""
    with scratch_folder() as folder:
        path = Path(folder) / "the table.parquet"
        if is_table(texts):
            names = write_table(texts, path)
            source = Source(path, text_column=text_column, pair_column=pair_column, format="parquet")
            pick_columns(source, names, "the table")
        else:
            source = write_texts(texts, pairs, path)
        rows = rows_of_source(source, table, use, complete=False)
    if complete and len(rows.missing):
        raise MissingFeatures(
            f"{len(rows.missing):,} rows of the table have texts that feature set '{table.name}' does not "
            "hold; encode them with enc.build_features, or ask for what there is with FeatureTable.lookup"
        )
    return rows
