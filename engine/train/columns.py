"""Whether a source has the columns that training reads, told before anything is read whole."""

from collections.abc import Sequence

from ...store import Source
from ...store.duck import workspace
from ...store.source import pick_columns, require_column
from ...store.stage import source_columns


def require_columns(source: Source, label_columns: Sequence[str]) -> None:
    """Raise SourceError for a file that is not there, or a column that its first file does not have."""
    with workspace() as con:
        columns = list(source_columns(con, source))
    file = "the query" if source.query else source.files()[0]
    pick_columns(source, columns, file)
    for column in label_columns:
        require_column(column, source, columns, file, "--label-column")
