"""An object as a file to read from, of which only what is asked for is fetched."""

import io
import os

from .remote import RemotePath


class ObjectReader(io.RawIOBase):
    """An object of an object store that is read by ranges. Raises FileNotFoundError where it is not there."""

    def __init__(self, place: RemotePath):
        super().__init__()
        self._place, self._size, self._at = place, place.stat().st_size, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Any part of it can be."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place in it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Bytes from where it is."""
        stop = self._size if size < 0 else min(self._size, self._at + size)
        data = self._place.ranges([self._at], [stop])[0] if stop > self._at else b""
        self._at += len(data)
        return data
