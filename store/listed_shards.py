"""Which shards, and which of their row groups, may hold keys that are looked for."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from .key_bounds import ANYWHERE, KEY_BYTES, Bounds
from .locks import Lock, ShardPaths
from .logged import LoggedShard, rows_of
from .share import Share

BUCKET_BITS = 20  # of a key: so many leading ones are looked at


def bounds_of(keys: pa.Array) -> Bounds:
    """The bounds of keys, an array of fixed binary without nulls, and not empty."""
    start = keys.offset * KEY_BYTES
    data = keys.buffers()[1][start : start + len(keys) * KEY_BYTES]
    rows = np.frombuffer(data, np.uint8).reshape(-1, KEY_BYTES)
    leading = np.frombuffer(data, ">u8")[:: KEY_BYTES // 8]
    least, greatest = (rows[leading == end] for end in (leading.min(), leading.max()))
    return Bounds(min(map(bytes, least)), max(map(bytes, greatest)))


def _bucket(key: bytes) -> int:
    """The number of a key's leading bits."""
    return int.from_bytes(key[:4], "big") >> (32 - BUCKET_BITS)


def buckets_of(words: np.ndarray) -> np.ndarray:
    """The numbers int64 [n] of keys' leading bits, of uint64 [n, 4] as of
    :func:`enc.store.key_ranges.key_words`.
    """
    return (words[:, 0].byteswap() >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)


class Wanted:
    """Which leading bits the keys have that are looked for, in 1 MB."""

    def __init__(self) -> None:
        self._is_wanted = np.zeros(1 << BUCKET_BITS, np.bool_)
        self._before: np.ndarray | None = None

    def add(self, words: np.ndarray) -> None:
        """Look for keys, uint64 [n, 4]."""
        self._is_wanted[buckets_of(words)] = True
        self._before = None

    @property
    def buckets(self) -> int:
        """How many different leading bits there are."""
        return int(np.count_nonzero(self._is_wanted))

    def may_be_in(self, spans: np.ndarray) -> np.ndarray:
        """bool [n]: False for spans, int64 [n, 2] of the first and the last bucket, without a wanted key."""
        if self._before is None:
            self._before = np.zeros(len(self._is_wanted) + 1, np.int32)
            np.cumsum(self._is_wanted, out=self._before[1:])
        return self._before[spans[:, 1] + 1] > self._before[spans[:, 0]]


class ListedShards(ShardPaths):
    """Paths of shards that nobody has looked at yet, and what the log says of them.

    Who reads them calls :meth:`look_at` first.
    """

    def __init__(
        self,
        logged: Sequence[LoggedShard],
        bounds: Callable[[], Sequence[Bounds | None]],
        rows: int,
        lock: Lock | None,
    ):
        """``rows`` are those of all shards; ``bounds`` is called once, by who looks for few keys."""
        super().__init__((shard.path for shard in logged), lock)
        self.logged, self.rows, self._read_bounds = logged, rows, bounds

    @cached_property
    def spans(self) -> np.ndarray:
        """The first and the last bucket of each shard's keys, int64 [n, 2]."""
        return spans_of(self._bounds)

    @cached_property
    def _bounds(self) -> Sequence[Bounds | None]:
        return self._read_bounds()

    def of_share(self, share: Share) -> "ListedShards":
        """Those in which keys of a share may be."""
        first, stop = (bound >> (64 - BUCKET_BITS) for bound in (share.span[0], share.span[1] - 1))
        chosen = np.flatnonzero((self.spans[:, 0] <= stop) & (self.spans[:, 1] >= first)).tolist()
        logged = [self.logged[number] for number in chosen]
        bounds = [self._bounds[number] for number in chosen]
        return ListedShards(logged, lambda: bounds, sum(map(rows_of, logged)), self._lock)

    def look_at(self, numbers: Sequence[int] | None = None) -> None:
        """Look at size, footer and keys of shards by number, or of all. Raises DamagedShard."""
        from .shard_keys import require_readable

        require_readable(self.logged if numbers is None else [self.logged[number] for number in numbers])


def listed(shards: Sequence[LoggedShard]) -> ListedShards:
    """Shards that are not all of a table's, and of whose keys nothing is known."""
    return ListedShards(shards, lambda: [None] * len(shards), sum(map(rows_of, shards)), None)


def spans_of(bounds: Sequence[Bounds | None]) -> np.ndarray:
    """The first and the last bucket of shards, int64 [n, 2]; all of them where nothing is known."""
    spans = [(_bucket(one.first), _bucket(one.last)) for one in (given or ANYWHERE for given in bounds)]
    return np.array(spans, np.int64).reshape(-1, 2)
