"""The features of a plan's tokens: rows of different lengths, in batches that are padded to their longest."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import cast
from zlib import crc32

import numpy as np

from .batches import GATHER_BYTES, GATHER_THREADS, PlannedFeatures
from .errors import SpecError
from .mapped_tokens import MappedTokens
from .orders import block_shuffle, grouped_by_length
from .pieces import at_every_byte
from .prefetch import computed_ahead, prefetched
from .spec import FeatureSpec
from .token_rows import at_longest, padded_mask, padded_places, padded_to, spans


class PlannedTokens(PlannedFeatures):
    """The ragged rows of a plan, by position in it; see :class:`PlannedFeatures`.

    :meth:`take` and :meth:`blocks` give rows padded to max_length, as :attr:`shape` says. :meth:`epoch` gives
    batches of rows of like length, padded with zeros to the longest of them; streamed, of those in a
    buffer. ``lengths`` are the tokens of each row, int32 [rows].
    """

    _tokens: MappedTokens

    def __init__(
        self,
        shards: Sequence[str],
        spec: FeatureSpec,
        locations: np.ndarray,
        *,
        batches: str | None = None,
        use: FeatureSpec | None = None,
    ):
        if not spec.is_ragged:
            raise SpecError("the stored features are not ragged rows of tokens")
        super().__init__(shards, spec, locations, batches=batches, use=use)

    @cached_property
    def order(self) -> str:
        """See :attr:`PlannedFeatures.order`; the lengths and the size of the batches decide it, too."""
        return f"{super().order}, of lengths {crc32(self.lengths.tobytes()):08x}"

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of positions int64 [n], with zeros as padding."""
        return padded_to(self.take_padded(positions), self.spec.shape[0])

    def take_padded(self, positions: np.ndarray) -> np.ndarray:
        """Features [n, tokens of the longest, width] in the stored dtype, of positions int64 [n]."""
        lengths = self.lengths[positions]
        if self.mode != "streamed":
            slots = self._slots(positions, at_longest(lengths))
            return slots.reshape(len(lengths), int(lengths.max(initial=0)), self.spec.shape[1])
        order = np.argsort(self._locations[positions], kind="stable")
        room = self._as_large(np.empty(0, np.uint8), positions)
        starts = np.empty(len(order), np.int64)
        starts[order] = self._read_rows(positions[order], room)
        return self._padded(room, starts, lengths)

    def _slots(self, positions: np.ndarray, widths: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Features [sum of widths, width] of rows that are padded each to its own width."""
        lengths = self.lengths[positions]
        if self.mode == "mapped":
            return self._tokens.prepared_slots(self._locations[positions], lengths, widths)
        places, padding = padded_places(self._starts[positions], lengths, widths)
        places[padding] = len(self._vectors) - 1
        return np.take(self._vectors, places, axis=0, out=out, mode="clip")  # other modes copy twice

    def blocks(self, rows: int, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """See :meth:`PlannedFeatures.blocks`."""
        stop = self.rows if stop is None else stop
        taken = (self.take(np.arange(start, min(start + rows, stop))) for start in range(first, stop, rows))
        return prefetched(taken, "enc-read") if self.mode == "streamed" else taken

    def epoch_order(
        self, seed: int, epoch: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> np.ndarray:
        """See :meth:`PlannedFeatures.epoch_order`: each rank groups its rows by length."""
        order = super().epoch_order(seed, epoch, batch_size, rank, world_size)
        random = np.random.default_rng([seed, epoch, 1, rank, world_size])
        return _joined(grouped_by_length(order, self.lengths, batch_size, random))

    def _size(self) -> int:
        self._tokens = cast("MappedTokens", self._shards)
        self.lengths = self._tokens.lengths(self._locations)
        return int(self.lengths.sum(dtype=np.int64)) * self.spec.vector_bytes

    def _load_all(self) -> None:
        self._starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        tokens = int(self.lengths.sum(dtype=np.int64))
        self._vectors = self._tokens.room(tokens + 1)
        self._vectors[tokens] = 0  # which is padding
        self._tokens.verify(self._locations)
        stored, room = self._by_place(), np.empty(0, np.uint8)
        for start in range(0, self.rows, self._block_rows):
            positions = stored[start : start + self._block_rows].astype(np.int64)
            room, lengths = self._as_large(room, positions), self.lengths[positions]
            places = spans(self._read_rows(positions, room), lengths, self.spec.vector_bytes)
            self._vectors[spans(self._starts[positions], lengths)] = self._at(room, places)[:, 0]

    def _as_large(self, room: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Room for rows, and for the longest behind them.

        It is ``room`` where that is large enough: fresh memory costs more than reading.
        """
        size = self._tokens.bytes_of(self.lengths[positions]) + self.spec.row_bytes
        return room if len(room) >= size else np.empty(size + size // 8, np.uint8)

    def _read_rows(self, positions: np.ndarray, room: np.ndarray) -> np.ndarray:
        """Read rows whose locations ascend; returns where in the room each begins, in bytes."""
        return self._tokens.read_bytes(self._locations[positions], self.lengths[positions], room)

    def _at(self, room: np.ndarray, places: np.ndarray, vectors: int = 1) -> np.ndarray:
        """Vectors [n, vectors, width] that begin at these bytes of a room, one after the other."""
        piece = np.dtype((np.void, vectors * self.spec.vector_bytes))
        found = at_every_byte(room.data, len(room), piece)[places]
        return found.view(self.spec.numpy_dtype).reshape(len(places), vectors, self.spec.shape[1])

    def _padded(self, room: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Features [rows, longest, width] of rows that begin at these bytes of a room."""
        longest = int(lengths.max(initial=0))
        if not longest:
            return np.zeros((len(lengths), 0, self.spec.shape[1]), self.spec.numpy_dtype)
        # What lies behind a shorter row is copied along, and cleared: one large piece a row is quickest.
        found = self._at(room, starts, longest)
        if (lengths < longest).any():
            found[~padded_mask(lengths, longest)] = 0
        return found

    def _gathered(self, order: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches of positions in this order; several are gathered at a time, before they are asked for."""
        firsts = np.arange(0, len(order), batch_size)
        if not len(firsts):
            return
        longest = np.maximum.reduceat(self.lengths[order], firsts).astype(np.int64)
        slots = np.cumsum(np.diff(np.append(firsts, len(order))) * longest)
        number = slots * self.spec.vector_bytes // GATHER_BYTES
        bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(firsts)]
        threads = min(GATHER_THREADS, os.cpu_count() or 1, len(bounds) - 2)
        sizes = np.diff(np.append(0, slots[np.array(bounds[1:]) - 1])).tolist()
        chunks = (
            (order[low * batch_size : high * batch_size], longest[low:high], self._slot_room(size))
            for (low, high), size in zip(pairwise(bounds), sizes, strict=True)
        )
        gather = partial(self._gather_batches, batch_size)
        with closing(computed_ahead(gather, chunks, "enc-gather", threads=threads)) as taken:
            for batches in taken:
                yield from batches

    def _slot_room(self, slots: int) -> np.ndarray | None:
        """Room for what is gathered from memory; it is made where batches are asked for: what other threads
        give back to the system costs more time to get again than to fill.
        """
        return self._tokens.room(slots) if self.mode == "ram" else None

    def _gather_batches(
        self, batch_size: int, chunk: tuple[np.ndarray, np.ndarray, np.ndarray | None]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Batches of positions int64 [n], one after the other, each padded to its own longest row."""
        positions, longest, room = chunk
        slots = self._slots(positions, np.repeat(longest, batch_size)[: len(positions)], room)
        batches, done = [], 0
        for start, length in zip(range(0, len(positions), batch_size), longest.tolist(), strict=True):
            batch = positions[start : start + batch_size]
            stop = done + len(batch) * length
            batches.append((batch, slots[done:stop].reshape(len(batch), length, self.spec.shape[1])))
            done = stop
        return batches

    def _streamed(
        self, seed: int, epoch: int, batch_size: int, start: int, rank: int, world_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        buffer_rows = max(1, self._buffer_rows // batch_size) * batch_size  # so that few batches are of two
        first, left_out = divmod(start, buffer_rows)
        buffers = [self._spare.pop() if self._spare else np.empty(0, np.uint8) for _ in range(2)]

        def fills() -> Iterator[_Fill]:
            orders = block_shuffle(
                self.rows,
                self._block_rows,
                buffer_rows,
                seed,
                epoch,
                start=first * buffer_rows,
                rank=rank,
                world_size=world_size,
            )
            for number, (places, order) in enumerate(orders, first):
                positions = self._stored[places].astype(np.int64)
                room = buffers[number % 2] = self._as_large(buffers[number % 2], positions)
                random = np.random.default_rng([seed, epoch, 1, rank, number])
                grouped = _joined(grouped_by_length(order, self.lengths[positions], batch_size, random))
                served = grouped[left_out:] if number == first else grouped
                yield _Fill(positions, room, self._read_rows(positions, room), served)

        left: list[tuple[np.ndarray, np.ndarray]] = []  # rows of a buffer that do not fill a batch
        try:
            # A buffer is filled while the other one is served: prefetched() is never more than one ahead.
            with closing(prefetched(fills(), "enc-read")) as reading:
                for fill in reading:
                    done = 0
                    while done < len(fill.order):
                        chosen = fill.order[done : done + batch_size - sum(len(part) for part, _ in left)]
                        done += len(chosen)
                        rows = fill.positions[chosen]
                        left.append((rows, self._padded(fill.room, fill.starts[chosen], self.lengths[rows])))
                        if sum(len(part) for part, _ in left) == batch_size:
                            yield _one_batch(left)
                            left = []
            if left:
                yield _one_batch(left)
        finally:
            self._spare = buffers


@dataclass(frozen=True)
class _Fill:
    """A buffer of rows, and the order in which they are served."""

    positions: np.ndarray
    room: np.ndarray
    """Bytes of the rows."""
    starts: np.ndarray
    """Where in the room each row begins."""
    order: np.ndarray


def _one_batch(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """One batch out of parts that are padded to different lengths."""
    if len(parts) == 1:
        return parts[0]
    longest = max(features.shape[1] for _, features in parts)
    return (
        np.concatenate([positions for positions, _ in parts]),
        np.concatenate([padded_to(features, longest) for _, features in parts]),
    )


def _joined(batches: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *batches])


def planned_features(
    shards: Sequence[str],
    spec: FeatureSpec,
    locations: np.ndarray,
    *,
    batches: str | None = None,
    use: FeatureSpec | None = None,
) -> PlannedFeatures:
    """The feature rows of a plan, of any layout; see :class:`PlannedFeatures`."""
    kind = PlannedTokens if spec.is_ragged else PlannedFeatures
    return kind(shards, spec, locations, batches=batches, use=use)
