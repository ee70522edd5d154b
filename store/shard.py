"""One Parquet file of features: written so that the vectors can be used without decoding.

The ``features`` column is required (no definition levels), PLAIN, uncompressed, and one data page
per row group. The values of a row group are then one contiguous block at the end of its column
chunk: a memory map at that offset is the array, and a read at that offset is the rows. Any Parquet
reader opens the file.

Rows of tokens that are ragged (see :class:`enc.store.spec.FeatureSpec`) are values of variable length,
each behind four bytes with its length. A column of its own has the number of tokens of each row, from
which follows where a row is: see :mod:`enc.store.ragged_pages`.
Source: https://parquet.apache.org/docs/file-format/data-pages/
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .decoded import decoded
from .errors import DamagedShard, StoreError
from .pages import Page, checksum_of, is_finite, only_page
from .ragged_pages import RaggedRows
from .shard_file import identity, is_finished_name, opened, read_footer, reason
from .spec import FeatureSpec
from .token_rows import spans

READ_BYTES = 1 << 20  # at a time: large enough for any disk, small enough for the processor's cache
GAP_BYTES = 64 << 10  # a disk reads this much in less time than it takes to begin anew somewhere else
_SOUND: dict[tuple[str | int, ...], np.ndarray] = {}
"""Which row groups of a file this process has verified, by the file's name and identity."""


class Shard:
    """Where the features of one shard lie in its file, and reading them.

    Rows ``first_rows[g]`` and on of row group g lie one after the other from byte ``first_bytes[g]``. Ragged
    rows have ``lengths`` tokens (int32 [rows], else None) and begin at bytes ``row_bytes`` (int64 [rows]).
    ``use`` is a setting with some of the stored layers or poolings: a row is then several equal
    ``pieces`` of the file, by offset in the row, else one. A file that another tool has rewritten
    (compressed, split into pages) is first decoded, once, to an unnamed file in the temporary
    folder: slower, the same answer. Raises DamagedShard for a file that is not what was written; what
    lies in its row groups is looked at by :meth:`verify`.
    """

    def __init__(self, path: str | Path, spec: FeatureSpec, use: FeatureSpec | None = None):
        self.path, self._spec, self._number_type = str(path), spec, spec.numpy_dtype
        self.pieces, self._piece_type = row_pieces(spec, use or spec)
        with opened(self.path) as descriptor:
            metadata = read_footer(self.path, descriptor)
            groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
            sizes = np.array([g.num_rows for g in groups], dtype=np.int64)
            self.rows = int(sizes.sum())
            names = metadata.schema.to_arrow_schema().names
            columns = [names.index(name) if name in names else -1 for name in spec.columns]
            if columns[-1] < 0:
                raise DamagedShard(self.path, "has no column 'features'")
            self._pages = [
                [only_page(descriptor, group.column(c)) for c in columns if c >= 0] for group in groups
            ]
            wanted_type = "BYTE_ARRAY" if spec.is_ragged else "FIXED_LEN_BYTE_ARRAY"
            is_typed = all(g.column(columns[-1]).physical_type == wanted_type for g in groups)
            self._identity = (self.path, *identity(descriptor))
            self._ragged = None
            if spec.is_ragged and columns[-2] >= 0:
                self._ragged = RaggedRows.read(descriptor, self._pages, sizes, spec)
        blocks = [pages[-1] for pages in self._pages] if is_typed else []
        fixed = [rows * spec.row_bytes for rows in sizes.tolist()]
        self.plain = self.rows > 0 and len(blocks) > 0
        if spec.is_ragged:
            self.plain = self.plain and self._ragged is not None
        else:
            fits = (page and page.size == size for page, size in zip(blocks, fixed, strict=False))
            self.plain = self.plain and all(fits)
        starts = [page.start for page in blocks if page] if self.plain else [0]
        self._data = self.path
        if self.rows and is_finished_name(Path(self.path).name) and not self.has_checksums:
            raise DamagedShard(self.path, "is damaged: its pages are not what was written")
        if not self.plain:
            self._decoded, self._ragged = decoded(self.path, spec, self.rows)
            self._data, self._pages = f"/dev/fd/{self._decoded.fileno()}", []
            sizes = np.array([self.rows])
        self.first_rows, self.first_bytes = np.cumsum(sizes) - sizes, np.array(starts, np.int64)
        self._sound = _SOUND.setdefault(self._identity, np.full(len(starts), not self.plain))

    @property
    def sound(self) -> np.ndarray:
        """Which row groups this process has verified, bool [row groups]."""
        return self._sound

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens of each row, int32 [rows], where rows are ragged; to be trusted once :meth:`verify` was
        called.
        """
        return self._ragged.lengths if self._ragged else None

    def starts_of(self, rows: np.ndarray) -> np.ndarray:
        """Where rows (int64 [n]) begin in the file, in bytes."""
        if self._ragged:
            return self._ragged.starts[rows]
        group = self.groups_of(rows)
        return self.first_bytes[group] + (rows - self.first_rows[group]) * self._spec.row_bytes

    @property
    def has_checksums(self) -> bool:
        """Whether all of the shard's pages can be compared with checksums here."""
        pages = [page for group in self._pages for page in group]
        return self.plain and all(p is not None and p.checksum is not None and p.is_own for p in pages)

    def groups_of(self, rows: np.ndarray) -> np.ndarray:
        """Row groups int64 [n] of rows int64 [n]."""
        return np.searchsorted(self.first_rows, rows, side="right") - 1

    def verify(self, group: int) -> None:
        """Compare a row group's bytes with their checksums, and look for features that are not finite.

        Files of tools that write no checksums have nothing to compare with. Raises DamagedShard. A row
        group is read once in a process.
        """
        if self._sound[group]:
            return
        with opened(self.path) as descriptor:
            *others, features = self._pages[group]
            for page in others:
                if page is not None and page.checksum is not None:
                    self._compare(descriptor, page, group, None)
            if features is not None:
                look = self._ragged.look(group, self.path) if self._ragged else self._require_finite
                self._compare(descriptor, features, group, look)
        self._sound[group] = True

    def _compare(
        self, descriptor: int, page: Page, group: int, look: Callable[[memoryview], None] | None
    ) -> None:
        found = checksum_of(descriptor, page.start, page.size, self.path, look)
        if page.checksum not in (None, found):
            raise DamagedShard(self.path, f"is damaged: row group {group} is not what was written")

    def _require_finite(self, part: memoryview) -> None:
        if not is_finite(np.frombuffer(part, self._number_type)):
            raise DamagedShard(self.path, "has features that are not finite")

    def map(self) -> pa.Buffer:
        """The file as memory. It keeps no file descriptor, so that a table may have any number of shards."""
        return pa.memory_map(self._data).read_buffer()

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Rows by number (int64 [n]) into ``out``, opaque pieces [n, pieces] in C order; of ragged rows
        [tokens, pieces].

        Unlike a map's, the pages of such reads are not counted as the process's memory. Rows in
        ascending order are read in as few and as large reads as ``READ_BYTES`` and ``GAP_BYTES`` allow.
        Raises StoreError for rows that the shard has not.
        """
        if not len(rows):
            return
        if int(rows.max()) >= self.rows:
            raise rows_beyond()
        width, row_bytes = self._piece_type.itemsize, self._spec.row_bytes
        is_whole = self._ragged is None and width == row_bytes
        if is_whole and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            self._read_range(int(rows[0]), out.reshape(-1))
            return
        starts = self.starts_of(rows)
        if self._ragged:
            starts = spans(starts, self._ragged.lengths[rows], self._spec.vector_bytes)
        offsets, out = (starts[:, None] + self.pieces).reshape(-1), out.reshape(-1)
        if not len(offsets):
            return
        steps = np.diff(offsets)
        breaks = (np.abs(steps) > GAP_BYTES + width) | (np.diff(offsets // READ_BYTES) != 0)
        begins = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        ends = np.append(begins[1:], len(offsets))
        low, high = np.minimum.reduceat(offsets, begins), np.maximum.reduceat(offsets, begins) + width
        skips = np.concatenate([[0], np.cumsum(steps != width)])
        gapless = skips[begins] == skips[ends - 1]
        try:
            # Reads are large: a buffer would only copy them once more.
            with open(self._data, "rb", buffering=0) as file:
                for begin, end, start, stop, whole in np.stack(
                    [begins, ends, low, high, gapless], axis=1
                ).tolist():
                    target = out[begin:end] if whole else np.empty(stop - start, np.uint8)
                    file.seek(start)
                    if file.readinto(target.view(np.uint8).data) < stop - start:
                        raise DamagedShard(self.path, "ends before its rows do")
                    if not whole:
                        out[begin:end] = at_every_byte(target, stop - start, self._piece_type)[
                            offsets[begin:end] - start
                        ]
        except OSError as error:
            raise DamagedShard(self.path, f"cannot be read: {reason(error)}") from error

    def _read_range(self, first: int, out: np.ndarray) -> None:
        """Whole rows from ``first`` on into ``out`` [n], a row group at a time."""
        ends = [*self.first_rows[1:].tolist(), self.rows]
        done, group = 0, int(self.groups_of(np.array([first]))[0])
        try:
            with open(self._data, "rb", buffering=0) as file:
                while done < len(out):
                    row = first + done
                    target = out[done : done + ends[group] - row]
                    file.seek(int(self.starts_of(np.array([row]))[0]))
                    if file.readinto(target.view(np.uint8).data) < target.nbytes:
                        raise DamagedShard(self.path, "ends before its rows do")
                    done, group = done + len(target), group + 1
        except OSError as error:
            raise DamagedShard(self.path, f"cannot be read: {reason(error)}") from error


def rows_beyond() -> StoreError:
    """The error for rows behind a shard's last one, where memory or a file has something else."""
    return StoreError("the plan has rows that the shards have not; make it anew from the table's shards")


def row_pieces(spec: FeatureSpec, use: FeatureSpec) -> tuple[np.ndarray, np.dtype[Any]]:
    """Where in a row of ``spec`` the features of ``use`` are.

    Returns byte offsets int64 [pieces], and the type of one piece. Of ragged rows they are those in a token's
    vector.
    """
    item, slices = spec.numpy_dtype.itemsize, spec.slices(use)
    size = spec.vector_bytes if spec.is_ragged else spec.row_bytes
    if slices == [slice(0, spec.shape[-1])]:
        return np.zeros(1, np.int64), np.dtype((np.void, size))
    width = math.gcd(*(s.stop - s.start for s in slices))
    in_vector = np.concatenate([np.arange(s.start, s.stop, width) for s in slices])
    vectors = np.arange(0, size // item, spec.shape[-1])  # of a row: one, or one for each token
    return (vectors[:, None] + in_vector).reshape(-1) * item, np.dtype((np.void, width * item))


def at_every_byte(data: Any, size: int, type: np.dtype[Any]) -> np.ndarray:
    """Overlapping values, one at every byte offset: one gather serves rows anywhere in a buffer."""
    return np.ndarray((max(0, size - type.itemsize + 1),), type, buffer=data, strides=(1,))
