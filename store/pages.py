"""Parquet pages as they lie in a file: where their bytes are, and the checksums over them.

A page is a header, in Thrift's compact protocol, and then its bytes. The header may hold a CRC-32 of the
bytes. Nothing covers the header itself, so what it says is compared with the file's footer.
Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

import os
import re
import struct
from typing import Any, NamedTuple

import numpy as np

from .errors import DamagedShard

try:
    from isal.isal_zlib import crc32  # several times as fast, with the processor's own instructions
except ImportError:  # there is no wheel for every machine
    from zlib import crc32

FOOTER_END = struct.Struct("<I4s")  # the footer's length and a magic number end every Parquet file
MAGIC = b"PAR1"
READ_BYTES = 256 << 10  # at a time: what is read is still in the processor's cache when it is summed up
_FOOTER_GUESS = 4096  # bytes of the end that are read first; the footer of a small file is in them
_HEADER_BYTES = 128  # more than a header without statistics has
_LONG_HEADER_BYTES = 16 << 10  # more than one with statistics has
_DATA_PAGE, _PLAIN = 0, 0
_TYPE_FIELD, _SIZE_FIELD, _STORED_SIZE_FIELD, _CHECKSUM_FIELD, _DATA_FIELD = 1, 2, 3, 4, 5
_VALUES_FIELD, _ENCODING_FIELD = 1, 2
NUMBER = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
"""Matches a number in Thrift's compact protocol, of up to 32 bits."""
_OWN_HEADER = re.compile(
    rb"\x15\x00\x15(%b)\x15\1\x15(%b)\x1c\x15(%b)\x15\x00\x15\x06\x15\x06(?:\x1c\x00)?\x00\x00"
    % (NUMBER, NUMBER, NUMBER),
    re.DOTALL,
)
"""A header as our own writer makes it: of a page of plain values, with a checksum and no statistics."""


class Page(NamedTuple):
    """A page of plain values, uncompressed, which is all of its column chunk."""

    start: int
    """Where its bytes begin in the file."""
    size: int
    checksum: int | None
    """CRC-32 of its bytes, where the header has one."""
    is_own: bool
    """Whether the header is written as our own are, so that every reader reads it alike."""


def only_page(descriptor: int, chunk: Any) -> Page | None:
    """The page of a column chunk; None unless the chunk is one page of plain values.

    ``chunk`` is the chunk's metadata, ``descriptor`` the open file.
    """
    if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
        return None
    if not set(chunk.encodings) <= {"PLAIN", "RLE"}:
        return None
    header = os.pread(descriptor, _HEADER_BYTES, max(0, chunk.data_page_offset))
    own = _OWN_HEADER.match(header)
    if own:
        size, checksum, values = map(number_of, own.groups())
        if values != chunk.num_values or own.end() + size != chunk.total_compressed_size:
            return None
        return Page(chunk.data_page_offset + own.end(), size, checksum & 0xFFFFFFFF, True)
    try:
        fields, length = _read_struct(header, 0)
    except (IndexError, ValueError):
        return None
    data, size = fields.get(_DATA_FIELD), fields.get(_STORED_SIZE_FIELD)
    if (
        fields.get(_TYPE_FIELD) != _DATA_PAGE
        or not isinstance(data, dict)
        or data.get(_VALUES_FIELD) != chunk.num_values
        or data.get(_ENCODING_FIELD) != _PLAIN
        or fields.get(_SIZE_FIELD) != size
        or not isinstance(size, int)
        or length + size != chunk.total_compressed_size
    ):
        return None
    checksum = fields.get(_CHECKSUM_FIELD)
    checksum = checksum & 0xFFFFFFFF if isinstance(checksum, int) else None
    return Page(chunk.data_page_offset + length, size, checksum, False)


def sizes_of_pages(descriptor: int, start: int, stop: int) -> list[int] | None:
    """Bytes of each page between two places of an open file, unpacked.

    None where a header is not understood, or where there is no page.
    """
    sizes: list[int] = []
    while start < stop:
        header = os.pread(descriptor, _LONG_HEADER_BYTES, start)
        try:
            fields, length = _read_struct(header, 0)
        except (IndexError, ValueError):
            return None
        size, stored = fields.get(_SIZE_FIELD), fields.get(_STORED_SIZE_FIELD)
        if not isinstance(size, int) or not isinstance(stored, int) or size < 0 or stored < 0:
            return None
        sizes.append(size)
        start += length + stored
    return sizes or None


def checksum_of(descriptor: int, start: int, size: int, path: str, look: Any = None) -> int:
    """CRC-32 of bytes of an open file, read into a buffer that fits the processor's cache.

    ``look`` is called with each part of them, a memoryview. Raises DamagedShard where the file ends first.
    """
    checksum, buffer = 0, memoryview(bytearray(min(size, READ_BYTES)))
    stop = start + size
    while start < stop:
        count = os.preadv(descriptor, [buffer[: stop - start]], start)
        if not count:
            raise DamagedShard(path, "ends before its rows do")
        part = buffer[:count]
        checksum = crc32(part, checksum)
        if look:
            look(part)
        start += count
    return checksum


def footer_of(descriptor: int, path: str) -> bytes:
    """A Parquet file's footer, its length and the magic number included.

    Raises DamagedShard for a file that has none.
    """
    size = os.fstat(descriptor).st_size
    if not size:
        raise DamagedShard(path, "cannot be read: it is empty")
    end = os.pread(descriptor, _FOOTER_GUESS, max(0, size - _FOOTER_GUESS))
    if len(end) < min(size, _FOOTER_GUESS) or len(end) < FOOTER_END.size or not end.endswith(MAGIC):
        raise DamagedShard(path, "cannot be read: it was cut off, or is no Parquet file")
    length = FOOTER_END.unpack(end[-FOOTER_END.size :])[0] + FOOTER_END.size
    if length > size - len(MAGIC):
        raise DamagedShard(path, "cannot be read: its footer does not fit into it")
    if length <= len(end):
        return end[-length:]
    footer = os.pread(descriptor, length, size - length)
    if len(footer) < length:
        raise DamagedShard(path, "cannot be read: it was cut off while it was read")
    return footer


def _read_struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their number, and where the struct ends.

    Numbers, structs and bytes are read, other fields end the reading with ValueError: pages have none.
    """
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head, at = data[at], at + 1
        if not head:
            return fields, at
        kind, step = head & 0x0F, head >> 4
        if step:
            number += step
        else:
            number, at = _read_number(data, at)
        if kind in (1, 2):  # true and false
            fields[number] = kind == 1
        elif kind in (5, 6):
            fields[number], at = _read_number(data, at)
        elif kind == 8:  # the least and the largest value, in statistics
            size, at = _read_length(data, at)
            fields[number], at = data[at : at + size], at + size
        elif kind == 12:
            fields[number], at = _read_struct(data, at)
        else:
            raise ValueError(f"a page header has a field of type {kind}")


def number_of(data: bytes) -> int:
    """The zigzag number whose bytes :data:`NUMBER` has matched."""
    value = 0
    for byte in reversed(data):
        value = value << 7 | byte & 0x7F
    return (value >> 1) ^ -(value & 1)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of up to 64 bits, and where it ends."""
    value, at = _read_length(data, at)
    return (value >> 1) ^ -(value & 1), at


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """A number without a sign, of up to 64 bits, and where it ends."""
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a page header has a number that is too long")


def is_finite(numbers: np.ndarray) -> bool:
    """Whether all float16 or float32 numbers are finite."""
    # A number is not finite when its exponent has all bits set; float16 has no instructions of its own.
    bits, exponent = (np.uint16, 0x7C00) if numbers.dtype.itemsize == 2 else (np.uint32, 0x7F800000)
    return not bool(((numbers.view(bits) & bits(exponent)) == exponent).any())
