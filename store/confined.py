"""Where a user's SQL runs: a connection that reads the files named to it, and can do nothing else.

A query or condition may come from somewhere else than the data. Here it can read no other file, write
none, reach no network, load no extension, and change no setting; and it is one SELECT, or one expression.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from .errors import SourceError
from .plan import escaped, literal

_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",  # a name in SQL is no variable of this program
}


@contextmanager
def confined(
    paths: Sequence[str], *, temporary: str | Path, memory_bytes: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can read these files, and what is in these folders.

    ``temporary`` is a folder for what does not fit into ``memory_bytes``.
    """
    places = [Path(path).absolute() for path in paths]
    files = [str(place) for place in places if not place.is_dir()]
    files += [
        escaped(file) for file in files
    ]  # as this program writes them where their names look like globs
    folders = [f"{place}/" for place in places if place.is_dir()]
    config: dict[str, str | bool | int | float | list[str]] = {
        **_SETTINGS,
        "temp_directory": str(temporary),
        "memory_limit": f"{memory_bytes}B",
    }
    with duckdb.connect(config=config) as con:
        con.execute(
            f"SET enable_progress_bar=false; SET arrow_large_buffer_size=true; "
            f"SET allowed_paths={_list(files)}; SET allowed_directories={_list(folders)}; "
            "SET enable_external_access=false; SET lock_configuration=true"
        )
        yield con


def require_select(query: str) -> str:
    """The query without what may stand behind it, if it is one SELECT; else a SourceError."""
    try:
        with duckdb.connect() as con:
            statements = con.extract_statements(query)
    except duckdb.ParserException as error:
        raise SourceError(f"the query cannot be read: {_first_line(error)}") from error
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise SourceError(f"--query must be one SELECT; this is {kinds}")
    return _without_end(query)


def _without_end(query: str) -> str:
    """A statement without the semicolons and comments behind it."""
    data, end = query.encode(), len(query.encode())
    for offset, kind in reversed(duckdb.tokenize(query)):
        is_semicolon = data[offset : offset + 1] == b";"
        if not is_semicolon and kind != duckdb.token_type.comment:
            break
        end = offset
    return data[:end].decode().rstrip()


def require_condition(where: str) -> str:
    """The condition, if it is one SQL expression; else a SourceError."""
    sql = f"SELECT (\n{where}\n)"
    with duckdb.connect() as con:
        parsed = json.loads(con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
    if parsed["error"]:
        raise SourceError(f"--where cannot be read: {parsed['error_message']}")
    nodes = [statement["node"] for statement in parsed["statements"]]
    if len(nodes) != 1 or not _is_one_expression(nodes[0]):
        raise SourceError(
            f"--where must be one condition over the columns, such as \"label = 'a'\", not {where}"
        )
    return where


def _is_one_expression(node: dict[str, object]) -> bool:
    source, selected = node.get("from_table"), node.get("select_list")
    return (
        node.get("type") == "SELECT_NODE"
        and isinstance(source, dict)
        and source.get("type") == "EMPTY"
        and isinstance(selected, list)
        and len(selected) == 1
        and not node.get("modifiers")
    )


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0].partition("Error: ")[2]


def _list(paths: Sequence[str]) -> str:
    return f"[{', '.join(map(literal, paths))}]"
