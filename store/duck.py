"""DuckDB over a temporary database file, with little memory and the disk behind it.

DuckDB keeps as much of its tables in memory as its limit allows. A small limit leaves the memory to
the encoder, and makes the peak independent of the number of rows; but a block of very long texts
does not fit into it. So the limit begins small, and is raised where DuckDB asks for more.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from .errors import WorkspaceError
from .scratch import scratch_folder

T = TypeVar("T")
BYTES_PER_THREAD = 64 << 20  # joins work well with about this much
SCAN_BYTES_PER_THREAD = 16 << 20  # reading a table from its beginning to its end needs less
_INTERRUPTED = "Query interrupted"
"""What DuckDB raises in place of what a signal's handler raised; at times only when the query has ended."""
_VECTOR_ROWS = 2048  # rows that DuckDB handles at a time


@contextmanager
def workspace() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection over a database file in the temporary folder, removed at the end.

    Raises WorkspaceError where the memory or the temporary folder is too small, and KeyboardInterrupt where a
    signal ends a query.
    """
    try:
        with (
            scratch_folder() as folder,
            duckdb.connect(f"{folder}/stage.duckdb") as con,
        ):
            # At the end, nothing has to be put in order in a file that is removed.
            con.execute("SET enable_progress_bar=false; PRAGMA disable_checkpoint_on_shutdown")
            _limit(con, _threads(con) * BYTES_PER_THREAD)
            yield con
    except RuntimeError as error:
        if str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from None
        raise
    except duckdb.Error as error:
        if isinstance(error, duckdb.OutOfMemoryException):
            raise WorkspaceError(f"DuckDB has not enough memory: {first_line(error)}") from error
        if is_out_of_space(error):
            raise WorkspaceError(
                f"{first_line(error)}; free some space for temporary files, or set TMPDIR to another folder"
            ) from error
        raise


def is_out_of_space(error: duckdb.Error) -> bool:
    """Whether an error is about the memory or disk of a workspace, and not about what was read or asked."""
    written = isinstance(error, (duckdb.IOException, duckdb.FatalException)) and "write" in str(error)
    return isinstance(error, duckdb.OutOfMemoryException) or written or "No space left" in str(error)


@contextmanager
def scan_memory(con: duckdb.DuckDBPyConnection, widest_row: int) -> Iterator[None]:
    """During a block, leave DuckDB what it needs to stream rows of at most this many bytes, and no more."""
    before = con.sql("SELECT current_setting('memory_limit')").fetchall()[0][0]
    _limit(con, _threads(con) * max(SCAN_BYTES_PER_THREAD, 2 * _VECTOR_ROWS * widest_row))
    try:
        yield
    finally:
        con.execute(f"SET memory_limit='{before}'")


def execute(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows; it is run again with more memory where the memory does not do."""
    return with_memory(con, lambda _: con.execute(sql).fetchall())


def with_memory(con: duckdb.DuckDBPyConnection, action: Callable[[int], T]) -> T:
    """What ``action`` returns; it is called again, with a higher limit in bytes, where memory does not do."""
    limit = _threads(con) * BYTES_PER_THREAD
    while True:
        try:
            return action(limit)
        except duckdb.OutOfMemoryException:
            if limit >= available_memory() // 2:
                raise
            limit *= 4
            _limit(con, limit)


def folder_of(con: duckdb.DuckDBPyConnection) -> Path:
    """The folder of a workspace, which is removed with it."""
    return Path(con.sql("SELECT path FROM duckdb_databases() WHERE NOT internal").fetchall()[0][0]).parent


def count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of a table, or of anything that may follow FROM."""
    return con.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0]


def available_memory() -> int:
    """Bytes that can be taken without swapping, and within the limits of a container.

    Half of the machine's memory where the system does not say.
    """
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return max(0, min([free, *_room_in_groups()]))


def _room_in_groups(mount: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> list[int]:
    """Bytes that the limits of this process's control group (version 2), and of the groups around it, leave.

    Page cache counts as free.
    """
    try:
        own = next(
            line[3:].strip()
            for line in Path(membership).read_text("ascii").splitlines()
            if line.startswith("0::")
        )
    except (OSError, StopIteration):
        return []
    rooms, group = [], Path(mount, own.lstrip("/"))
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        try:
            limit = int((folder / "memory.max").read_text("ascii"))
            used = int((folder / "memory.current").read_text("ascii"))
            cache = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())[
                "file"
            ]
        except (OSError, ValueError, KeyError):  # no such group, or "max": no limit
            continue
        rooms.append(limit - used + int(cache))
    return rooms


def _threads(con: duckdb.DuckDBPyConnection) -> int:
    return max(2, con.sql("SELECT current_setting('threads')").fetchall()[0][0])


def _limit(con: duckdb.DuckDBPyConnection, limit: int) -> None:
    con.execute(f"SET memory_limit='{min(limit, max(available_memory() // 2, BYTES_PER_THREAD))}B'")


def first_line(error: duckdb.Error) -> str:
    """DuckDB's message in one line, with the names that it proposes for one that is not there."""
    said, *more = str(error).splitlines() or [""]
    said = re.sub(r"^.* stream registered as '\w+' failed: \w+: ", "", said)
    hint = next((f" ({line})" for line in more[:2] if line.startswith("Candidate bindings")), "")
    return (said.partition("Error: ")[2] or said) + hint
