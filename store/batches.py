"""The features of a plan's rows, and epochs of them in shuffled order.

They are served in one of three ways (``MODES``):

    ram        one array in the plan's order; each row is read once
    mapped     gathered from the memory-mapped shards, where the system's page cache holds them
    streamed   read in blocks, a bounded buffer shuffled at a time, while the next buffer is read ahead
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import Any
from zlib import crc32

import numpy as np

from .duck import available_memory
from .errors import NotMapped, SourceError
from .mapped import MappedFeatures
from .mapped_tokens import mapped_features
from .nearest import unknown
from .orders import block_shuffle, epoch_order, rank_share, sorted_positions
from .prefetch import computed_ahead, prefetched
from .spec import FeatureSpec

MODES = ("ram", "mapped", "streamed")
BUFFER_BYTES = 256 << 20  # of features held when streaming, half of them served and half of them being read
BLOCK_BYTES = 1 << 20  # read as one; a buffer mixes as many blocks as go into its half
GATHER_BYTES = 4 << 20  # gathered by a thread at a time: what a thread costs is little beside it
GATHER_THREADS = 4
_RAM_SHARE = 0.5  # of the available memory, for features held in it
_CACHE_SHARE = 0.8  # of the available memory, for the page cache to hold features


class PlannedFeatures:
    """The feature rows of a plan, by position in it: row i is the features at ``locations[i]``.

    ``batches`` is one of ``MODES``; None chooses by the available memory. ``use`` is a setting with
    some of the stored layers or poolings: only these are served, and held. The attribute ``spec`` is the
    setting of the features that are served, ``rows`` the number of rows, and ``mode`` the one of ``MODES``.
    """

    def __init__(
        self,
        shards: Sequence[str],
        spec: FeatureSpec,
        locations: np.ndarray,
        *,
        batches: str | None = None,
        use: FeatureSpec | None = None,
    ):
        if batches not in (None, *MODES):
            raise SourceError(unknown("way to serve batches", batches, MODES))
        self.spec, self.rows = use or spec, len(locations)
        self._shards: MappedFeatures = mapped_features(shards, spec, use)
        self._locations = locations
        size = self._size()
        self.mode = batches or _mode_for(size)
        self._arguments = shards, spec, locations
        self._asked = batches
        of_row = max(1, size // max(1, self.rows))
        self._block_rows = max(1, BLOCK_BYTES // of_row)
        self._buffer_rows = max(1, BUFFER_BYTES // 2 // of_row)
        if self.mode == "ram":
            self._load_all()
        elif self.mode == "mapped":
            try:
                self._shards.prepare(locations)
            except NotMapped:
                if batches:
                    raise
                self.mode = "streamed"
        if self.mode == "streamed":
            self._stored = self._by_place()
            # Buffers between epochs: fresh memory costs more time than reading into it.
            self._spare: list[np.ndarray] = []

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the shards itself, in this order, instead of being sent the rows held here.
        mode = "mapped" if self.mode == "ram" else self.mode
        return partial(type(self), batches=mode, use=self.spec), self._arguments

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row's features."""
        return self.spec.shape

    @property
    def locations(self) -> np.ndarray:
        """Locations int64 [rows], as they were given; rows with equal texts have equal locations."""
        return self._locations

    def part(self, use: FeatureSpec | None = None, rows: np.ndarray | None = None) -> "PlannedFeatures":
        """Other parts of the stored features, or some of the rows: int64 positions, in the order given."""
        shards, spec, locations = self._arguments
        chosen = locations if rows is None else locations[rows]
        return type(self)(shards, spec, chosen, batches=self._asked, use=use or self.spec)

    @cached_property
    def order(self) -> str:
        """A text of what, besides seed and epoch, decides an epoch's order.

        Two plans have the same orders only where their texts are equal.
        """
        if self.mode != "streamed":
            return f"{self.rows} rows"
        stored = crc32(np.ascontiguousarray(self._locations).data)
        sizes = f"{self._block_rows} a block, {self._buffer_rows} a buffer"
        return f"{self.rows} rows, stored as {stored:08x}, {sizes}"

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of positions int64 [n]."""
        if self.mode == "ram":
            return np.take(self._held, positions, axis=0)
        if self.mode == "mapped":
            return self._shards.take_prepared(self._locations[positions])
        return self._read(self._locations[positions])

    def blocks(self, rows: int, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Rows ``first`` to ``stop`` (or to the last) in the plan's order, at most ``rows`` at a time.

        They must not be written to. When streaming, the next ones are read ahead.
        """
        stop = self.rows if stop is None else stop
        bounds = ((start, min(start + rows, stop)) for start in range(first, stop, rows))
        if self.mode == "ram":
            return (self._held[start:end] for start, end in bounds)
        blocks = (self.take(np.arange(start, end)) for start, end in bounds)
        return prefetched(blocks, "enc-read") if self.mode == "streamed" else blocks

    def epoch(
        self, seed: int, epoch: int, batch_size: int, *, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """An epoch's batches: positions int64 [n], and their features [n, *shape] in the stored dtype.

        Every row comes once, in an order that seed and epoch decide; streaming has an order of its own
        (:func:`enc.store.orders.block_shuffle`). Each of ``world_size`` ranks gets its share of the rows,
        and leaves out the first ``start`` rows of the share. All batches but the last are full.
        """
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f"no batches of {batch_size} rows for rank {rank} of {world_size}; ranks count from 0"
            )
        first, stop = rank_share(self.rows, rank, world_size)
        if not 0 <= start <= stop - first:
            raise ValueError(f"cannot start at row {start}: rank {rank} of {world_size} has {stop - first}")
        if self.mode == "streamed":
            return self._streamed(seed, epoch, batch_size, start, rank, world_size)
        return self._gathered(self.epoch_order(seed, epoch, batch_size, rank, world_size)[start:], batch_size)

    def epoch_order(
        self, seed: int, epoch: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> np.ndarray:
        """Positions [n] of a rank's share, in the order of an epoch that is not streamed."""
        first, stop = rank_share(self.rows, rank, world_size)
        return epoch_order(self.rows, seed, epoch)[first:stop]

    def _gathered(self, order: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches of positions in this order; several are gathered at a time, before they are asked for.

        One thread waits for memory, row after row; several threads wait at the same time.
        """
        chunk = batch_size * max(1, GATHER_BYTES // (batch_size * self.spec.row_bytes))
        chunks = [order[start : start + chunk] for start in range(0, len(order), chunk)]
        threads = min(GATHER_THREADS, os.cpu_count() or 1, len(chunks) - 1)
        with closing(
            computed_ahead(self._gather, self._rooms(chunks), "enc-gather", threads=threads)
        ) as taken:
            for positions, features in zip(chunks, taken, strict=True):
                for start in range(0, len(positions), batch_size):
                    chosen = slice(start, start + batch_size)
                    yield positions[chosen].astype(np.int64, copy=False), features[chosen]

    def _rooms(self, chunks: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Chunks of positions, and room for their features, made by the thread that asks for them.

        What other threads give back to the system costs more time to get again than to fill.
        """
        return (
            (positions, self._shards.empty(len(positions)) if self.mode == "ram" else None)
            for positions in chunks
        )

    def _gather(self, chunk: tuple[np.ndarray, np.ndarray | None]) -> np.ndarray:
        positions, room = chunk
        if room is None:
            return self.take(positions)
        return np.take(self._held, positions, axis=0, out=room, mode="clip")  # other modes copy twice

    def _streamed(
        self, seed: int, epoch: int, batch_size: int, start: int, rank: int, world_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        empty = self._shards.empty
        buffers = [
            self._spare.pop() if self._spare else empty(min(self._buffer_rows, self.rows)) for _ in range(2)
        ]

        def fills() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            orders = block_shuffle(
                self.rows,
                self._block_rows,
                self._buffer_rows,
                seed,
                epoch,
                start=start,
                rank=rank,
                world_size=world_size,
            )
            for number, (places, order) in enumerate(orders):
                positions, features = self._stored[places], buffers[number % 2][: len(places)]
                self._shards.read(self._locations[positions], features)
                yield positions, features, order

        try:
            # A buffer is filled while the other one is served: prefetched() is never more than one ahead.
            with closing(prefetched(fills(), "enc-read")) as reading:
                batch, filled = (np.empty(batch_size, np.int64), empty(batch_size)), 0
                for positions, features, order in reading:
                    done = 0
                    while done < len(order):
                        chosen = order[done : done + batch_size - filled]
                        stop = filled + len(chosen)
                        batch[0][filled:stop] = positions[chosen]
                        # Other modes copy twice.
                        np.take(features, chosen, axis=0, out=batch[1][filled:stop], mode="clip")
                        done, filled = done + len(chosen), stop
                        if filled == batch_size:
                            yield batch
                            batch, filled = (np.empty(batch_size, np.int64), empty(batch_size)), 0
                if filled:
                    yield batch[0][:filled], batch[1][:filled]
        finally:
            self._spare = buffers

    def _by_place(self) -> np.ndarray:
        """Positions in the order in which storage has them; with the locations, 12 bytes a row."""
        return sorted_positions(self._locations)

    def _size(self) -> int:
        """Bytes of the features of all rows."""
        return self.rows * self.spec.row_bytes

    def _load_all(self) -> None:
        """Read all rows into memory."""
        self._held = self._load()

    def _load(self) -> np.ndarray:
        held, stored = self._shards.empty(self.rows), self._by_place()
        self._shards.verify(self._locations)
        for start in range(0, self.rows, self._block_rows):
            positions = stored[start : start + self._block_rows]
            held[positions] = self._read(self._locations[positions])
        return held

    def _read(self, locations: np.ndarray) -> np.ndarray:
        """Features of locations in any order, read in ascending order."""
        features, order = self._shards.empty(len(locations)), np.argsort(locations, kind="stable")
        self._shards.read(locations[order], features)
        if (np.diff(order) == 1).all():
            return features
        placed = np.empty_like(features)
        placed[order] = features
        return placed


def _mode_for(size: int) -> str:
    """The quickest way to serve so many bytes with the memory that is available."""
    available = available_memory()
    if size <= available * _RAM_SHARE:
        return "ram"
    return "mapped" if size <= available * _CACHE_SHARE else "streamed"
