"""Which rows are most alike, by the cosine of their features less the mean of all.

Without the mean, features of BERT have cosines near 1 whatever their texts are; less the mean, one threshold
serves different models. All pairs of rows are compared, a tile of a matrix product at a time, so that memory
does not grow with the rows, and time grows with their square.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch

from ..train.served import Features
from ..train.threads import in_shares

_TILE_ROWS = 2048  # both sides of a tile, which then is 16 MB: its maxima are found in the larger cache
_FEW_ROWS = 256  # at the least for a thread


@dataclass(frozen=True)
class Similar:
    """The rows that are most like each of some rows."""

    row: np.ndarray
    """int64 [rows]: the other row that is most alike; of rows compared with each other, among those before
    it. -1 if there is none.
    """
    cosine: np.ndarray
    """float32 [rows]: to that row; -inf if there is none."""
    mean: np.ndarray
    """float32 [rows]: mean cosine to the ``nearest`` rows that are most alike, before it or after it."""


class Vectors:
    """Features of rows as vectors of length 1, less a mean float32 [width]; what is 0 then stays 0."""

    def __init__(self, features: Features, mean: torch.Tensor):
        self._features, self._mean = features, mean

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._features.rows

    def block(self, first: int, stop: int) -> torch.Tensor:
        """Rows ``first`` to ``stop``, float32 [n, width]."""
        (block,) = self._features.blocks(stop - first, first, stop)
        values = torch.from_numpy(block).float().flatten(1) - self._mean
        return torch.nn.functional.normalize(values, dim=1)


def similar_rows(
    rows: Vectors,
    others: Vectors | None = None,
    *,
    nearest: int = 10,
    tile_rows: int = _TILE_ROWS,
    progress: Callable[[int], None] = lambda _: None,
) -> Similar:
    """For each of ``rows``, the ones of ``others`` that are most alike, or of the rows themselves.

    ``progress`` is told of numbers of rows that are done.
    """
    columns = rows if others is None else others
    kept = min(nearest, columns.rows - (others is None))
    told = Lock()

    def found(first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        vectors, numbers = rows.block(first, stop), torch.arange(first, stop).unsqueeze(1)
        best = torch.full((stop - first,), -torch.inf)
        best_row = torch.full((stop - first,), -1)
        top = torch.full((stop - first, max(1, kept)), -torch.inf)
        for start in range(0, columns.rows, tile_rows):
            end = min(start + tile_rows, columns.rows)
            tile, column = vectors @ columns.block(start, end).T, torch.arange(start, end)
            is_near = others is None and start < stop and end > first  # rows stand on both sides of the tile
            if is_near:
                tile.masked_fill_(column == numbers, -torch.inf)
            highest = tile.amax(1)
            _keep_top(top, tile, highest)
            if is_near:
                tile.masked_fill_(column > numbers, -torch.inf)
                highest = tile.amax(1)
            if others is not None or start < stop:
                _keep_best(best, best_row, tile, highest, start)
        with told:
            progress(stop - first)
        return best, best_row, top.mean(1)

    threads = max(1, min(torch.get_num_threads(), rows.rows // _FEW_ROWS))
    shares = max(threads, -(-rows.rows // tile_rows))
    parts = zip(*in_shares(found, rows.rows, threads=threads, shares=shares), strict=True)
    best, best_row, means = (torch.cat(part).numpy() for part in parts)
    return Similar(best_row, best, means)


def _keep_top(top: torch.Tensor, tile: torch.Tensor, highest: torch.Tensor) -> None:
    """Put the tile's cosines among the highest of each row, [rows, nearest] in falling order.

    After a few tiles, hardly a row has one that belongs there.
    """
    rows = torch.nonzero(highest > top[:, -1]).squeeze(1)
    if len(rows):
        found = tile[rows].topk(min(top.shape[1], tile.shape[1])).values
        top[rows] = torch.cat([top[rows], found], 1).topk(top.shape[1]).values


def _keep_best(
    best: torch.Tensor, best_row: torch.Tensor, tile: torch.Tensor, highest: torch.Tensor, start: int
) -> None:
    """Take what is higher than the best so far, and the number of its row."""
    rows = torch.nonzero(highest > best).squeeze(1)
    if len(rows):
        best[rows] = highest[rows]
        best_row[rows] = start + tile[rows].argmax(1)
