"""What a Parquet file says of itself: how large its pages become when they are read, and its number of rows.

A page is unpacked as a whole, and a file of a few hundred bytes may declare one of 2 GB. What a row group
becomes says little: most are large, and are read page by page.
"""

import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .duck import available_memory
from .errors import SourceError
from .pages import sizes_of_pages

UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises for a file that is no Parquet file, or whose columns have names that are no text."""
COPIES = 9
"""Of a page of texts that are in memory at a time, measured where a file with one such page is scored."""


def require_small_pages(path: str, groups: Iterable[int] | None = None) -> None:
    """Raise SourceError where a page of a Parquet file would not fit into the memory that is free.

    All row groups are looked at, or those of these numbers. Page headers are read only of a column chunk that
    would not fit as a whole. A file that is no Parquet file is left to its reader.
    """
    try:
        metadata = pq.read_metadata(path)
    except UNREADABLE:
        return
    limit = available_memory() // COPIES
    for group in range(metadata.num_row_groups) if groups is None else groups:
        row_group = metadata.row_group(group)
        if row_group.total_byte_size <= limit:
            continue
        for number in range(metadata.num_columns):
            chunk = row_group.column(number)
            if chunk.total_uncompressed_size <= limit:
                continue
            size = _largest_page(path, chunk)
            if size > limit:
                raise SourceError(_said(chunk.path_in_schema, path, size, limit))


def require_all_rows(path: str, rows: int, said: int | None = None) -> None:
    """Raise SourceError where a Parquet file says that it has another number of rows than were read.

    ``said`` is what it says, where only a part of it was to be read.
    """
    try:
        said = pq.read_metadata(path).num_rows if said is None else said
    except UNREADABLE:
        return
    if said != rows:
        raise SourceError(
            f"{path} is damaged: {rows:,} rows were found in it, and it says that there are {said:,}; "
            "write it again"
        )


def _said(column: str, path: str, size: int, limit: int) -> str:
    return (
        f"a page of column '{column}' of {path} holds {size / 1e9:.1f} GB, and takes about "
        f"{COPIES * size / 1e9:.0f} GB of memory to read, where {COPIES * limit / 1e9:.1f} GB are free; "
        "write the file anew with smaller pages, with pyarrow by write_batch_size=32"
    )


def chunk_start(chunk: Any) -> int:
    """Where a column chunk begins in its file."""
    starts = [chunk.data_page_offset]
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        starts.append(chunk.dictionary_page_offset)
    return min(starts)


def _largest_page(path: str, chunk: Any) -> int:
    """Bytes of the largest page of a chunk, unpacked; all of the chunk where its pages cannot be told."""
    start = chunk_start(chunk)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sizes = sizes_of_pages(descriptor, start, start + chunk.total_compressed_size)
    finally:
        os.close(descriptor)
    return chunk.total_uncompressed_size if sizes is None else max(sizes)
