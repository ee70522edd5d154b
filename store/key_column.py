"""What a shard's footer says of its keys: where these lie, in each row group.

Parquet's reader takes longer for the footer of a small shard than all else that the shard's keys cost. So a
footer that begins as enc's own do, with one row group, is read here up to the end of what it says of keys.
Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .errors import DamagedShard
from .pages import NUMBER, number_of
from .shard_file import parsed_footer

_OWN_FOOTER = re.compile(
    rb"\x15\x04"  # the format's version
    rb"\x19(?:\x5c|\x6c)"  # four columns under a root, or five of them
    rb"\x35\x00\x18\x06schema\x15(?:\x08|\x0a)\x00"
    rb"\x15\x0e\x15\x40\x15\x00\x18\x03key\x00"  # 32 bytes
    rb"\x15\x02\x25\x00\x18\x08n_tokens\x00"
    rb"\x15\x00\x25\x00\x18\x09truncated\x00"
    rb"(?:\x15\x02\x25\x00\x18\x0bkept_tokens\x00\x15\x0c\x25\x00|\x15\x0e\x15[\x80-\xff]{0,4}[\x00-\x7f]\x15\x00)"
    rb"\x18\x08features\x00"
    rb"\x16(?P<rows>%(number)s)"
    rb"\x19\x1c"  # one row group
    rb"\x19(?:\x4c|\x5c)"
    rb"\x26\x00\x1c\x15\x0e\x19\x25\x06\x00\x19\x18\x03key\x15\x00"  # levels and plain values, uncompressed
    rb"\x16(?P=rows)\x16(?P<size>%(number)s)\x16(?P=size)\x26(?P<start>%(number)s)"
    rb"\x49\x1c\x15\x00\x15\x00\x15\x02\x00\x00\x00"  # one data page, and no dictionary
    % {b"number": NUMBER},
    re.DOTALL,
)


class KeyColumn(NamedTuple):
    """What a footer says of a shard's keys."""

    all_rows: int
    rows: Sequence[int]
    """Rows of each row group."""
    chunks: Sequence[Any]
    """The column chunk of keys of each row group, as :func:`enc.store.pages.only_page` takes it."""
    is_fixed: bool
    """Whether all keys have the same length."""
    is_ours: bool
    """Whether the file has the name of a shard of ours, so that its keys must have checksums."""
    metadata: dict[bytes, bytes] | None
    """The footer's own words; None of a footer with one row group that was read here."""


class _Chunk(NamedTuple):
    data_page_offset: int
    total_compressed_size: int
    num_values: int
    compression: str = "UNCOMPRESSED"
    has_dictionary_page: bool = False
    encodings: Sequence[str] = ("RLE", "PLAIN")


def key_column(path: str, footer: bytes, is_ours: bool) -> KeyColumn:
    """What a shard's footer says of its keys.

    ``is_ours`` is whether the footer is what enc has written: it was compared with the checksum in the file's
    name. Raises DamagedShard for a file that is no shard.
    """
    own = _OWN_FOOTER.match(footer) if is_ours else None
    if own:
        return _of_one_group(*own.group("rows", "size", "start"))
    found = parsed_footer(path, footer)
    names = found.schema.names
    if "key" not in names or "features" not in names:
        raise DamagedShard(path, "is no shard of features: it has no column 'key', or no 'features'")
    number = names.index("key")
    groups = [found.row_group(group) for group in range(found.num_row_groups)]
    return KeyColumn(
        found.num_rows,
        [group.num_rows for group in groups],
        [group.column(number) for group in groups],
        found.schema.column(number).physical_type == "FIXED_LEN_BYTE_ARRAY",
        is_ours,
        found.metadata,
    )


@lru_cache(maxsize=1024)  # shards that are made alike have the same numbers
def _of_one_group(rows: bytes, size: bytes, start: bytes) -> KeyColumn:
    chunk = _Chunk(number_of(start), number_of(size), number_of(rows))
    return KeyColumn(chunk.num_values, (chunk.num_values,), (chunk,), True, True, None)
