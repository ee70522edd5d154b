"""Orders in which an epoch visits its rows: pure functions of sizes, seed and epoch."""

from collections.abc import Iterator

import numpy as np

_SORTED_AT_A_TIME = 1 << 20
_MOST_PARTS = 16
_WINDOW_BATCHES = 64  # sorted by length at a time


def epoch_order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch's rows: a permutation of ``range(rows)``, decided by seed and epoch.

    It is int32, and int64 for 2^31 rows and more; the order is that of NumPy's own permutation.
    """
    order = np.arange(rows, dtype=np.int32 if rows < 1 << 31 else np.int64)
    np.random.default_rng([seed, epoch]).shuffle(order)
    return order


def length_grouped(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """An epoch's batches of rows of like length: positions int64 [n], decided by the arguments alone.

    The rows are shuffled, and then grouped (:func:`grouped_by_length`).
    """
    order = epoch_order(len(lengths), seed, epoch)
    return grouped_by_length(order, lengths, batch_size, np.random.default_rng([seed, epoch, 1]))


def grouped_by_length(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Batches of positions, of an order [n] in which windows of many batches are sorted by their lengths.

    The batches of a window come in random order. All batches but the last are full.
    """
    window = batch_size * _WINDOW_BATCHES
    for start in range(0, len(order), window):
        chosen = order[start : start + window]
        chosen = chosen[np.argsort(-lengths[chosen], kind="stable")]
        full = len(chosen) // batch_size
        for number in random.permutation(full).tolist():
            yield chosen[number * batch_size : (number + 1) * batch_size]
        if full * batch_size < len(chosen):
            yield chosen[full * batch_size :]


def rank_share(rows: int, rank: int, world_size: int) -> tuple[int, int]:
    """Start and stop of a rank's share of ``rows``.

    The shares of all ranks are disjoint and cover all rows; their sizes differ by one row at most.
    """
    return rows * rank // world_size, rows * (rank + 1) // world_size


def sorted_positions(numbers: np.ndarray, at_a_time: int = _SORTED_AT_A_TIME) -> np.ndarray:
    """Positions of numbers [n] in ascending order, equal ones in theirs: uint32 [n], int64 for 2^32 and more.

    NumPy's own sorting of positions would hold another 8 bytes for each. Here a sixteenth of many
    numbers is sorted at once: those between two bounds, which a sample of the numbers gives.
    """
    count = len(numbers)
    order = np.empty(count, np.uint32 if count < 1 << 32 else np.int64)
    parts = min(_MOST_PARTS, max(1, -(-count // at_a_time)))
    sample = np.sort(numbers[:: max(1, at_a_time >> 6)])
    bounds = np.unique(sample[np.arange(1, parts) * len(sample) // parts]) if parts > 1 else []
    filled, low = 0, None
    for high in [*bounds, None]:
        positions = _positions_between(numbers, low, high)
        order[filled : filled + len(positions)] = positions[np.argsort(numbers[positions], kind="stable")]
        filled, low = filled + len(positions), high
    return order


def _positions_between(numbers: np.ndarray, low: np.integer | None, high: np.integer | None) -> np.ndarray:
    """Positions int64 of numbers from ``low`` on and below ``high``, where None is no bound."""
    found = [np.empty(0, np.int64)]
    for start in range(0, len(numbers), _SORTED_AT_A_TIME):
        part = numbers[start : start + _SORTED_AT_A_TIME]
        is_within = np.ones(len(part), np.bool_) if low is None else part >= low
        if high is not None:
            is_within &= part < high
        found.append(start + np.flatnonzero(is_within))
    return np.concatenate(found)


def block_shuffle(
    rows: int,
    block_rows: int,
    buffer_rows: int,
    seed: int,
    epoch: int,
    *,
    start: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """An order of an epoch's rows that reads storage in blocks: yields ``(places, order)`` for each buffer.

    A place is the number of a row as storage has it, from 0. Blocks of ``block_rows`` neighbouring
    places come in random order. Each rank takes its share of the sequence of blocks, so that it reads
    its own part of the storage, fills a buffer of ``buffer_rows`` rows, permutes the buffer, and goes on
    with the next. ``places`` int64 [n] are the places to read for one buffer, ascending, and
    ``places[order]`` is the order in which they are served. The first ``start`` rows of the rank are
    left out. The arguments alone decide everything.
    """
    blocks = np.random.default_rng([seed, epoch]).permutation(-(-rows // block_rows))
    sizes = np.minimum(block_rows, rows - blocks * block_rows)
    ends = np.cumsum(sizes)
    first, stop = rank_share(rows, rank, world_size)
    for number in range(start // buffer_rows, -(-(stop - first) // buffer_rows)):
        begin = first + number * buffer_rows
        end = min(begin + buffer_rows, stop)
        held = slice(np.searchsorted(ends, begin, side="right"), np.searchsorted(ends, end) + 1)
        # The buffer before may have the first rows of a block.
        skipped = np.maximum(begin - (ends[held] - sizes[held]), 0)
        lengths = np.minimum(ends[held], end) - (ends[held] - sizes[held]) - skipped
        starts = blocks[held] * block_rows + skipped
        ascending = np.argsort(starts)  # each file of a buffer is then read once, and forwards
        slots = np.empty_like(starts)
        slots[ascending] = np.cumsum(lengths[ascending]) - lengths[ascending]
        order = np.random.default_rng([seed, epoch, rank, number]).permutation(end - begin)
        served = order[max(0, start - number * buffer_rows) :]
        yield _ranges(starts[ascending], lengths[ascending]), _ranges(slots, lengths)[served]


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``range(start, start + length)`` of each, one after the other."""
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
