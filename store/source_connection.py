"""Where a source is read: the connection, and how what goes wrong there is told."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from .confined import confined
from .duck import first_line, is_out_of_space
from .errors import SourceError
from .source import Source


@contextmanager
def reading_connection(
    con: duckdb.DuckDBPyConnection, source: Source, file: str, memory_bytes: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection in which a file is read: ``con`` itself, or a confined one where a user's SQL runs."""
    if not source.query and not source.where:
        yield con
        return
    paths = [*(source.files() if source.query else [file]), *map(str, source.allowed_paths)]
    with (
        tempfile.TemporaryDirectory(prefix="enc-", ignore_cleanup_errors=True) as folder,
        confined(paths, temporary=folder, memory_bytes=memory_bytes) as reading,
    ):
        yield reading


@contextmanager
def errors_of_source(file: str, source: Source | None = None) -> Iterator[None]:
    """During a block, what DuckDB and Arrow say of a source is raised as a SourceError.

    With ``source``, whose file this is, it tells the way out for a Parquet file that is damaged.
    """
    try:
        yield
    except duckdb.PermissionException as error:
        refused = re.search(r'Cannot access \w+ "(.*?)"', str(error))
        if not refused:
            raise SourceError(f"{file} cannot be read: {first_line(error)}") from error
        raise SourceError(
            f"{file}: SQL must not read '{refused[1]}'; name it among SOURCE…, "
            f"or pass --allow-path {refused[1]}"
        ) from error
    except duckdb.Error as error:
        if is_out_of_space(error):
            raise
        raise SourceError(_unreadable(file, first_line(error), source)) from error
    except pa.ArrowException as error:
        raise SourceError(_unreadable(file, str(error).partition("\n")[0], source)) from error


def _unreadable(file: str, said: str, source: Source | None) -> str:
    is_parquet = source is not None and not source.query and source.format_of(file) == "parquet"
    way_out = "; if the file is damaged, copy or write it again" if is_parquet else ""
    return f"{file} cannot be read: {said.rstrip(': ')}{way_out}"
