"""The features of a plan's tokens: rows of different lengths, in batches that are padded to their longest."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property
from typing import cast
from zlib import crc32

import numpy as np

from .batches import PlannedFeatures
from .errors import SpecError
from .mapped_tokens import MappedTokens
from .orders import block_shuffle, grouped_by_length, length_grouped
from .prefetch import computed_ahead, prefetched
from .spec import FeatureSpec
from .token_rows import TokenRows, padded_mask, padded_to, spans

_GATHER_THREADS = 4


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
        if self.mode == "mapped":
            return self._tokens.take_prepared_padded(self._locations[positions], lengths)
        if self.mode == "ram":
            return _padded(self._vectors, self._starts[positions], lengths)
        order = np.argsort(self._locations[positions], kind="stable")
        rows = self._read_rows(positions[order])
        starts = np.empty(len(order), np.int64)
        starts[order] = np.cumsum(rows.lengths, dtype=np.int64) - rows.lengths
        return _padded(rows.vectors, starts, lengths)

    def blocks(self, rows: int, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """See :meth:`PlannedFeatures.blocks`."""
        stop = self.rows if stop is None else stop
        taken = (self.take(np.arange(start, min(start + rows, stop))) for start in range(first, stop, rows))
        return prefetched(taken, "enc-read") if self.mode == "streamed" else taken

    def epoch_order(self, seed: int, epoch: int, batch_size: int) -> np.ndarray:
        """Positions int64 [rows] in the order of an epoch that is not streamed."""
        batches = length_grouped(self.lengths, batch_size, seed, epoch)
        return np.concatenate([np.empty(0, np.int64), *batches])

    def _size(self) -> int:
        self._tokens = cast("MappedTokens", self._shards)
        self.lengths = self._tokens.lengths(self._locations)
        self._vector_bytes = self.spec.vector_bytes
        return int(self.lengths.sum(dtype=np.int64)) * self._vector_bytes

    def _load_all(self) -> None:
        self._starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self._vectors = self._tokens.room(int(self.lengths.sum(dtype=np.int64)))
        self._tokens.verify(self._locations)
        stored = self._by_place()
        for start in range(0, self.rows, self._block_rows):
            positions = stored[start : start + self._block_rows].astype(np.int64)
            rows = self._read_rows(positions)
            self._vectors[spans(self._starts[positions], rows.lengths)] = rows.vectors

    def _read_rows(self, positions: np.ndarray) -> TokenRows:
        """Rows of positions, quickest where their locations ascend."""
        lengths = self.lengths[positions]
        room = self._tokens.room(int(lengths.sum(dtype=np.int64)))
        return self._tokens.read_rows(self._locations[positions], lengths, room)

    def _epoch(
        self, seed: int, epoch: int, batch_size: int, first: int, stop: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        chosen = self.epoch_order(seed, epoch, batch_size)[first:stop]
        batches = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
        threads = min(_GATHER_THREADS, os.cpu_count() or 1, len(batches) - 1)
        with closing(computed_ahead(self.take_padded, batches, "enc-gather", threads=threads)) as taken:
            yield from zip(batches, taken, strict=True)

    def _streamed(
        self, seed: int, epoch: int, batch_size: int, start: int, rank: int, world_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        buffer_rows = max(1, self._buffer_rows // batch_size) * batch_size  # no batch is of two buffers
        first, left_out = divmod(start, buffer_rows)

        def fills() -> Iterator[tuple[np.ndarray, TokenRows, np.ndarray]]:
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
                rows = self._read_rows(positions)
                random = np.random.default_rng([seed, epoch, 1, rank, number])
                batches = grouped_by_length(order, rows.lengths, batch_size, random)
                yield positions, rows, np.concatenate([*batches])[left_out if number == first else 0 :]

        left: list[tuple[np.ndarray, TokenRows]] = []  # rows of a buffer that do not fill a batch
        with closing(prefetched(fills(), "enc-read")) as reading:
            for positions, rows, order in reading:
                starts = np.cumsum(rows.lengths, dtype=np.int64) - rows.lengths
                done = 0
                while done < len(order):
                    chosen = order[done : done + batch_size - sum(len(part) for part, _ in left)]
                    done += len(chosen)
                    vectors = rows.vectors[spans(starts[chosen], rows.lengths[chosen])]
                    left.append((positions[chosen], TokenRows(vectors, rows.lengths[chosen])))
                    if sum(len(part) for part, _ in left) == batch_size:
                        yield _joined(left)
                        left = []
        if left:
            yield _joined(left)


def _joined(parts: list[tuple[np.ndarray, TokenRows]]) -> tuple[np.ndarray, np.ndarray]:
    rows = TokenRows.concatenate([one for _, one in parts])
    return np.concatenate([positions for positions, _ in parts]), rows.padded()


def _padded(vectors: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Features [rows, longest, width] of rows that begin at some of the vectors."""
    is_token = padded_mask(lengths)
    found = np.zeros((*is_token.shape, vectors.shape[1]), vectors.dtype)
    found[is_token] = vectors[spans(starts, lengths)]
    return found


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
