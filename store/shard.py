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

import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa

from .decoded import decoded
from .errors import DamagedShard, StoreError
from .pages import Page, checksum_of, is_finite, only_page
from .pieces import at_every_byte, read_pieces, row_pieces, rows_beyond
from .places import CacheFull, fetched, hold, keep, root, shown
from .ragged_pages import RaggedRows
from .shard_file import identity, is_finished_name, opened, read_footer, reason
from .spec import FeatureSpec
from .token_rows import spans

_SOUND: dict[tuple[str | int, ...], np.ndarray] = {}
"""Which row groups of a file this process has verified, by the file's name and identity."""


class Shard:
    """Where the features of one shard lie in its file, and reading them.

    Rows ``first_rows[g]`` and on of row group g lie one after the other from byte ``first_bytes[g]``. Ragged
    rows have ``lengths`` tokens (int32 [rows], else None), and each begins where :meth:`starts_of` says.
    ``use`` is a setting with some of the stored layers or poolings: a row is then several equal
    ``pieces`` of the file, by offset in the row, else one. A file that another tool has rewritten
    (compressed, split into pages) is first decoded, once, to an unnamed file in the temporary
    folder: slower, the same answer. Raises DamagedShard for a file that is not what was written; what
    lies in its row groups is looked at by :meth:`verify`.
    """

    def __init__(self, path: str | Path, spec: FeatureSpec, use: FeatureSpec | None = None):
        self.path, self._spec = str(path), spec
        self._away: set[int] = set()  # row groups that the cache has no room for
        hold(root(), self.path, self)
        self.pieces, self._piece_type = row_pieces(spec, use or spec)
        with opened(self.path) as descriptor:
            metadata = read_footer(self.path, descriptor)
            groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
            sizes = np.array([g.num_rows for g in groups], dtype=np.int64)
            self.rows = int(sizes.sum())
            names = metadata.schema.to_arrow_schema().names
            columns = [names.index(name) for name in spec.columns if name in names]
            if "features" not in names:
                raise DamagedShard(self.path, "has no column 'features'")
            self._pages = [[only_page(descriptor, group.column(c)) for c in columns] for group in groups]
            wanted_type = "BYTE_ARRAY" if spec.is_ragged else "FIXED_LEN_BYTE_ARRAY"
            is_typed = all(g.column(columns[-1]).physical_type == wanted_type for g in groups)
            self._identity = (self.path, *identity(descriptor))
            self._ragged = None
            if spec.is_ragged and is_typed and len(columns) == len(spec.columns):
                self._ragged = RaggedRows.read(descriptor, self._pages, sizes, spec, self.path)
        starts = [
            block.start
            for (*_, block), rows in zip(self._pages, sizes.tolist(), strict=True)
            if is_typed and block is not None and (spec.is_ragged or block.size == rows * spec.row_bytes)
        ]
        self.plain = len(starts) == len(groups) and self.rows > 0 and spec.is_ragged == bool(self._ragged)
        self._data = self.path
        if self.rows and is_finished_name(Path(self.path).name) and not self.has_checksums:
            raise DamagedShard(self.path, "is damaged: its pages are not what was written")
        if not self.plain:
            self._decoded, self._ragged = decoded(self.path, spec, self.rows)
            self._data, self._pages = f"/dev/fd/{self._decoded.fileno()}", []
            starts, sizes = [0], np.array([self.rows])
        self.first_rows, self.first_bytes = np.cumsum(sizes) - sizes, np.array(starts, np.int64)
        self._sound = _SOUND.setdefault(self._identity, np.full(len(starts), not self.plain))

    @property
    def sound(self) -> np.ndarray:
        """Which row groups this process has verified, bool [row groups]."""
        return self._sound

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens of each row, int32 [rows], where rows are ragged; to be trusted of row groups that are
        verified.
        """
        return self._ragged.lengths if self._ragged else None

    def starts_of(self, rows: np.ndarray) -> np.ndarray:
        """Where rows (int64 [n]) begin in the file, in bytes, int64 [n]."""
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
        group is read once in a process. Raises CacheFull where features of an object store have no room here.
        """
        if not self.is_here(group):
            raise CacheFull(
                f"features of '{shown(self.path)}' do not fit into the cache in '{root()}'; set "
                "ENC_SHARD_CACHE_GB higher, or pass --batches streamed"
            )

    def is_here(self, group: int) -> bool:
        """Verify a row group, and fetch it if need be; False where the cache has no room for it."""
        if self._sound[group]:
            return True
        if group in self._away:
            return False
        with opened(self.path) as descriptor:
            *others, features = self._pages[group]
            is_here = True
            for page in others:
                if page is not None and page.checksum is not None:
                    self._compare(descriptor, page, group, None)
            if features is not None:
                is_here = self._compare(descriptor, features, group, self._look_at(group))
        self._sound[group] = is_here
        (self._away.discard if is_here else self._away.add)(group)
        return is_here

    def _compare(
        self, descriptor: int, page: Page, group: int, look: Callable[[int, memoryview], None] | None
    ) -> bool:
        found, problem, done = 0, None, 0

        def look_at(part: memoryview) -> None:
            nonlocal problem, done
            try:
                if look and not problem:
                    look(done, part)
            except DamagedShard as error:
                problem = error  # which may lie in what is not fetched yet
            done += len(part)

        found = checksum_of(descriptor, page.start, page.size, self.path, look_at)
        if page.checksum in (None, found):
            if problem:
                raise problem
            return True
        data = fetched(self.path, page.start, page.size)
        if data is None or page.checksum != crc32(data):
            raise DamagedShard(self.path, f"is damaged: row group {group} is not what was written")
        if look:
            look(0, memoryview(data))
        self._require_same()
        return keep(self.path, descriptor, page.start, data)

    def _require_same(self) -> None:
        """What was verified of one file is not known of another that has taken its place."""
        stat = os.stat(self.path)
        if self._identity[1:3] != (stat.st_dev, stat.st_ino):
            raise StoreError(f"'{self.path}' was replaced while it was read; run this again")

    def _fetch(self, group: int) -> tuple[int, bytes]:
        """Where the features of a row group begin in the file, and their bytes, straight from the store."""
        page = self._pages[group][-1]
        data = None if page is None else fetched(self.path, page.start, page.size)
        if page is None or data is None or page.checksum != crc32(data):
            raise DamagedShard(self.path, f"is damaged: row group {group} is not what was written")
        return page.start, data

    def _look_at(self, group: int) -> Callable[[int, memoryview], None]:
        """What looks at parts of a row group's features, each with the byte of the page where it begins."""
        if self._ragged:
            return self._ragged.look(group, self.path)
        return self._require_finite

    def _require_finite(self, _start: int, part: memoryview) -> None:
        if not is_finite(np.frombuffer(part, self._spec.numpy_dtype)):
            raise DamagedShard(self.path, "has features that are not finite")

    def _read_away(self, groups: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
        """As :meth:`read`, where some row groups are not in the cache: these are fetched, one by one."""
        firsts = np.arange(len(rows))
        if self._ragged:
            firsts = np.cumsum(self._ragged.lengths[rows], dtype=np.int64) - self._ragged.lengths[rows]
        for group in np.unique(groups).tolist():
            chosen = np.flatnonzero(groups == group)
            places = firsts[chosen]
            if self._ragged:
                places = spans(places, self._ragged.lengths[rows[chosen]])
            if group not in self._away:
                part = np.empty((len(places), *out.shape[1:]), out.dtype)
                self.read(rows[chosen], part)
                out[places] = part
            elif len(places):
                start, data = self._fetch(group)
                offsets = self._starts_in_file(rows[chosen]) - start
                out[places] = at_every_byte(data, len(data), self._piece_type)[offsets[:, None] + self.pieces]

    def are_away(self, rows: np.ndarray) -> bool:
        """Whether the cache has no room for some of the rows, so that they are fetched for each use."""
        return bool(self._away) and not self._away.isdisjoint(self.groups_of(rows).tolist())

    def _starts_in_file(self, rows: np.ndarray) -> np.ndarray:
        """Where rows begin, and of ragged rows each of their vectors, in bytes, int64."""
        starts = self.starts_of(rows)
        if self._ragged:
            return spans(starts, self._ragged.lengths[rows], self._spec.vector_bytes)
        return starts

    def map(self) -> pa.Buffer:
        """The file as memory. It keeps no file descriptor, so that a table may have any number of shards."""
        mapped = pa.memory_map(self._data).read_buffer()
        self._require_same()
        return mapped

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Rows by number (int64 [n]) into ``out``, opaque pieces [n, pieces] in C order; of ragged rows
        [tokens, pieces].

        Unlike a map's, the pages of such reads are not counted as the process's memory. Rows in
        ascending order are read in few and large reads (:func:`enc.store.pieces.read_pieces`). Raises
        StoreError for rows that the shard has not.
        """
        if not len(rows):
            return
        if int(rows.max()) >= self.rows:
            raise rows_beyond()
        if self.are_away(rows):
            self._read_away(self.groups_of(rows), rows, out)
            return
        width = self._piece_type.itemsize
        is_whole = self._ragged is None and width == self._spec.row_bytes
        if is_whole and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            self._read_range(int(rows[0]), out.reshape(-1))
            return
        offsets = (self._starts_in_file(rows)[:, None] + self.pieces).reshape(-1)
        out = out.reshape(-1)
        if not len(offsets):
            return
        try:
            self._require_same()
            # Reads are large: a buffer would only copy them once more.
            with open(self._data, "rb", buffering=0) as file:
                if not read_pieces(file, offsets, out):
                    raise DamagedShard(self.path, "ends before its rows do")
        except OSError as error:
            raise DamagedShard(self.path, f"cannot be read: {reason(error)}") from error

    def _read_range(self, first: int, out: np.ndarray) -> None:
        """Whole rows from ``first`` on into ``out`` [n]."""
        stop = first + len(out)
        group, last = self.groups_of(np.array([first, stop - 1])).tolist()
        groups = np.arange(group, last + 1)
        begins = np.maximum(self.first_rows[groups], first)
        ends = np.minimum(np.append(self.first_rows[1:], self.rows)[groups], stop)
        starts = self.starts_of(begins)
        self.read_bytes(starts, starts + (ends - begins) * self._spec.row_bytes, out.view(np.uint8))

    def read_bytes(self, starts: np.ndarray, stops: np.ndarray, out: np.ndarray) -> None:
        """Bytes of the file from each start to its stop, one range after the other, into ``out`` uint8."""
        done = 0
        try:
            self._require_same()
            with open(self._data, "rb", buffering=0) as file:
                for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                    file.seek(start)
                    target = out[done : done + stop - start]
                    if file.readinto(target.data) < stop - start:
                        raise DamagedShard(self.path, "ends before its rows do")
                    done += stop - start
        except OSError as error:
            raise DamagedShard(self.path, f"cannot be read: {reason(error)}") from error
