"""Whether a file is of the kind that it is read as, and what to do where it is another."""

import os

from .errors import SourceError

_MAGIC = b"PAR1"
_FOOTER_END = 8  # bytes: the footer's length in four of them, and the magic number
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd"}


def require_parquet(file: str, *, other: str = "pass --format tsv, csv or jsonl") -> None:
    """Raise SourceError where a file does not begin and end as Parquet does.

    ``other`` is the way out for a file that is sound, and of another format.
    """
    begin, end, size = _ends(file)
    if not size:
        raise SourceError(f"{file} is empty, and no Parquet file; write it again")
    for magic, command in _COMPRESSED.items():
        if begin.startswith(magic):
            raise SourceError(
                f"{file} is compressed as a whole, which Parquet is not; unpack it: {command} {file}"
            )
    if begin != _MAGIC:
        raise SourceError(
            f"{file} is no Parquet file: it does not begin with 'PAR1'; if it is of another format, {other}, "
            "or else copy or write it again"
        )
    if not end.endswith(_MAGIC) or _length(end) > size:
        raise SourceError(
            f"{file} was cut off: it does not end as a Parquet file does; copy or write it again"
        )


def require_no_parquet(file: str) -> None:
    """Raise SourceError where a file that is to be read as text is a Parquet file."""
    begin, end, size = _ends(file)
    if begin == _MAGIC and end.endswith(_MAGIC) and _length(end) <= size:
        raise SourceError(f"{file} is a Parquet file; pass --format parquet, or name it with this ending")


def _ends(file: str) -> tuple[bytes, bytes, int]:
    """The first and the last bytes of a file, and its size. Raises SourceError where it cannot be read."""
    try:
        with open(file, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _FOOTER_END))
            end = stream.read()
            stream.seek(0)
            return stream.read(len(_MAGIC)), end, size
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror or error}") from error


def _length(end: bytes) -> int:
    """The least bytes of a Parquet file that ends so: its footer, and a magic number before and behind."""
    return int.from_bytes(end[:4], "little") + _FOOTER_END + len(_MAGIC)
