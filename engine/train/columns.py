"""Whether a source has the columns that training reads, told before anything is read whole."""

from collections.abc import Sequence

from ...store import Source
from ...store.duck import workspace
from ...store.source import pick_text_column, require_column
from ...store.stage import source_columns


def require_columns(source: Source, label_columns: Sequence[str]) -> None:
    """Raise SourceError for a file that is not there, or a column that its first file does not have."""
    with workspace() as con:
        columns = list(source_columns(con, source))
    title = "the query" if source.query else source.files()[0]
    pick_text_column(source.text_column, columns, title)
    if source.pair_column is not None:
        require_column(source.pair_column, columns, title, "--pair-column")
    for column in label_columns:
        require_column(column, columns, title, "--label-column")
