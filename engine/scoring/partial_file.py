"""A Parquet file in the making whose finished row groups outlive the process that wrote them.

The rows stand in the file as in any Parquet file. What the footer will say of them is kept apart, by whoever
keeps the parts: a writer of Parquet tells it only when it is closed. So a writer is closed after some row
groups, its footer goes into a part, and the next writer goes on where it stopped. The finished file is, byte
for byte, what one writer would have made, however often writers were changed.
"""

import mmap
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq

from ...store import EncError
from ...store.files import named_errors
from ...store.pages import FOOTER_END, MAGIC
from .output import RowGroupWriter

_READ_BYTES = 1 << 20
_SKIPPED_BYTES = 1 << 30  # at a time; no memory is used


class PartialFileError(EncError):
    """A file in the making is not what its parts say."""


@dataclass(frozen=True)
class Part:
    """Some row groups that are on the disk, and all before them."""

    end: int
    """Bytes of the file up to here."""
    checksum: int
    """CRC-32 of these bytes."""
    footer: bytes
    """The footer of these row groups alone."""


class PartialFile:
    """The file, open for more rows. Close it in any case."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        compression: str,
        added: list[pa.Field],
        parts: Sequence[Part] = (),
        plain: Collection[str] = (),
    ):
        """``added`` and ``plain`` are as of the :class:`RowGroupWriter`. Goes on after the last of
        ``parts``; what else is in the file is dropped.

        Raises PartialFileError where the file does not hold these parts.
        """
        self.path, self._parts = path, list(parts)
        self._options = schema, compression, added, plain
        with named_errors(path):
            self._file: BinaryIO = open(path, "r+b" if parts else "w+b")  # noqa: SIM115 - closed by close()
        try:
            self._go_to_end()
            self._start()
        except BaseException:
            self._file.close()
            raise

    def write(self, batch: pa.RecordBatch) -> bool:
        """Add rows; returns whether a row group ends with them, so that :meth:`end_part` may be called."""
        with named_errors(self.path):
            return self._writer.write(batch)

    def end_part(self) -> Part:
        """Return when all row groups are on the disk."""
        self._finish_writer()
        with named_errors(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        self._start()
        return self._parts[-1]

    def complete(self, rows: int) -> os.stat_result:
        """End the last row group, write the footer, and return when the file is on the disk.

        Raises PartialFileError where the parts do not make a file of so many rows.
        """
        with named_errors(self.path):
            self._writer.flush()
            self._finish_writer()
            self._file.write(joined_footer([part.footer for part in self._parts]))
            self._file.flush()
            os.fsync(self._file.fileno())
            if pq.read_metadata(self.path).num_rows != rows:
                raise PartialFileError(
                    f"'{self.path}' does not hold the {rows:,} rows that were written to it"
                )
            return os.fstat(self._file.fileno())

    def close(self) -> None:
        """Close the file; rows after the last part are lost unless it was completed."""
        self._sink.is_skipping = True
        with suppress(Exception):  # it may be one that broke down in the middle of a row group
            self._writer.close()
        self._file.close()

    def _go_to_end(self) -> None:
        """Go to the end of the last part, and look whether all before it is what was written."""
        end, self._checksum = (self._parts[-1].end, 0) if self._parts else (0, 0)
        left = end
        while left:
            block = self._file.read(min(left, _READ_BYTES))
            if not block:
                break
            self._checksum, left = crc32(block, self._checksum), left - len(block)
        if left or (self._parts and self._checksum != self._parts[-1].checksum):
            raise PartialFileError(f"'{self.path}' is not what was written")
        self._file.truncate(end)
        self._file.seek(end)

    def _start(self) -> None:
        """Let a new writer go on where the file ends."""
        end = self._parts[-1].end if self._parts else 0
        self._sink = _Sink(self._file, self._checksum)
        stream = pa.PythonFile(self._sink, "w")
        self._sink.is_skipping = end > 0
        self._writer = RowGroupWriter(stream, *self._options)
        # A writer counts the bytes that it has written, beginning with the magic number: so it is given
        # as many as the file has.
        left = end - len(MAGIC) if end else 0
        while left:
            with mmap.mmap(-1, min(left, _SKIPPED_BYTES)) as nothing:
                left -= len(nothing)
                stream.write(memoryview(nothing))
        self._sink.is_skipping = False

    def _finish_writer(self) -> None:
        """Close the writer, whose footer is the next part's."""
        self._sink.footer = bytearray()
        self._writer.close()
        footer, self._checksum = bytes(self._sink.footer), self._sink.checksum
        if not footer.endswith(MAGIC) or len(footer) != _footer_bytes(footer):
            raise PartialFileError(f"the end of '{self.path}' is not known")
        self._parts.append(Part(self._file.tell(), self._checksum, footer))


def joined_footer(footers: Sequence[bytes]) -> bytes:
    """One footer of all row groups; of footers with their lengths and magic numbers."""
    if len(footers) == 1:
        return footers[0]
    first, *others = (pq.read_metadata(pa.BufferReader(MAGIC + footer)) for footer in footers)
    for other in others:
        first.append_row_groups(other)
    stream = pa.BufferOutputStream()
    first.write_metadata_file(stream)
    return stream.getvalue().to_pybytes()[len(MAGIC) :]


def _footer_bytes(footer: bytes) -> int:
    return FOOTER_END.unpack(footer[-FOOTER_END.size :])[0] + FOOTER_END.size


class _Sink:
    """Where a writer's bytes go: into the file, nowhere, or into memory."""

    closed = False

    def __init__(self, file: BinaryIO, checksum: int):
        self._file, self.checksum = file, checksum
        self.is_skipping = False
        self.footer: bytearray | None = None

    def write(self, data: Any) -> int:
        if self.is_skipping:
            pass
        elif self.footer is not None:
            self.footer += data
        else:
            self._file.write(data)
            self.checksum = crc32(data, self.checksum)
        return len(data)

    def flush(self) -> None:
        """Nothing is held here."""

    def close(self) -> None:
        """The file stays open for the next writer."""
