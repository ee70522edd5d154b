"""Reading a piece of a source into a stage, as one of the parts of a first pass."""

from dataclasses import replace

import duckdb

from .duck import folder_of
from .errors import SourceError
from .row_groups import fetched_piece
from .source import Source
from .source_parts import Piece
from .stage import Stage, stage_source
from .text_pieces import copied_lines


def stage_piece(con: duckdb.DuckDBPyConnection, source: Source, piece: Piece) -> Stage | None:
    """What a piece has, under its file's name; raises as :func:`stage_source`.

    Returns None for lines that cannot be read apart: their file is to be read as a whole, which tells why.
    """
    if source.query:
        return stage_source(con, source)
    if piece.lines is None:
        file = fetched_piece(piece.file, folder_of(con), piece.groups)
        stage = stage_source(con, replace(source, paths=(file,)), piece=piece.groups)
    else:
        copy = copied_lines(piece.file, folder_of(con), piece.lines)
        allowed = (*source.allowed_paths, piece.file)  # which a condition can read
        one = replace(source, paths=(copy,), allowed_paths=allowed, format=source.format_of(piece.file))
        try:
            stage = stage_source(con, one, piece=piece.lines)
        except SourceError:
            return None
    stage.name_file(0, piece.file)
    return stage
