"""Two feature sets on the same texts: how alike their features are."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from . import plan
from .duck import count, execute, workspace
from .errors import SpecError, StoreError
from .mapped_tokens import mapped_features
from .table import FeatureTable

_BLOCK_BYTES = 16 << 20
_ROWS_PER_RANGE = 1_000_000  # keys that DuckDB joins at a time
_RANGES = 256
PERCENTILES = (0, 1, 5, 25, 50, 75, 100)


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found."""

    first: str
    second: str
    rows: int
    """Keys that both have."""
    only_first: int
    only_second: int
    mean: float
    """Of the cosines between the two features of a key."""
    percentiles: dict[int, float]
    """Of the cosines, by percent; 0 is the lowest of all."""
    max_difference: float
    """The largest difference between two values in the same place."""


def compare(first: FeatureTable | str | Path, second: FeatureTable | str | Path) -> Comparison:
    """The cosines between the features that two sets have of the same texts.

    Takes up to 20 bytes of memory for each text. Features of a row are one vector, of tokens too. Raises
    SpecError where the features have different shapes, and StoreError where no text is in both.
    """
    one, other = FeatureTable.of(first), FeatureTable.of(second)
    if one.spec.shape != other.spec.shape:
        shapes = [" x ".join(map(str, table.spec.shape)) for table in (one, other)]
        raise SpecError(
            f"features of '{one.name}' are {shapes[0]} and of '{other.name}' {shapes[1]}; only features of "
            "one shape can be compared"
        )
    here, there, in_one, in_other = _locations(one, other)
    pairs = len(here)
    if not pairs:
        raise StoreError(f"feature sets '{one.name}' and '{other.name}' have no text in common")
    features = [mapped_features(table.shards, table.spec) for table in (one, other)]
    cosines, difference = np.empty(pairs, np.float32), 0.0
    block = max(1, _BLOCK_BYTES // (4 * int(np.prod(one.spec.shape))))
    for start in range(0, pairs, block):
        a, b = (
            served.take(places[start : start + block]).astype(np.float32).reshape(-1, np.prod(one.spec.shape))
            for served, places in zip(features, (here, there), strict=True)
        )
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        dots = np.einsum("ij,ij->i", a, b)
        same = np.where((a == b).all(1), 1.0, 0.0)  # vectors of zeros have no direction
        cosines[start : start + block] = np.divide(dots, lengths, out=same, where=lengths > 0)
        difference = max(difference, float(np.abs(a - b).max()))
    return Comparison(
        first=one.name,
        second=other.name,
        rows=pairs,
        only_first=in_one - pairs,
        only_second=in_other - pairs,
        mean=float(cosines.mean(dtype=np.float64)),
        percentiles=dict(zip(PERCENTILES, np.percentile(cosines, PERCENTILES).tolist(), strict=True)),
        max_difference=difference,
    )


def _locations(one: FeatureTable, other: FeatureTable) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Locations int64 in both of the keys that both have, ascending in the first, and keys that each has."""
    rows, pairs = max(one.rows, other.rows), []
    keys = [0, 0]
    with workspace() as con:
        for condition in conditions(rows):
            for number, table in enumerate((one, other)):
                sql = plan.locations_sql(table.shards, condition)
                execute(con, f"CREATE OR REPLACE TEMP TABLE side{number} AS {sql}")
                keys[number] += count(con, f"side{number}")
            joined = con.sql(
                "SELECT a.location AS one, b.location AS other FROM side0 a JOIN side1 b USING (key)"
            ).fetchnumpy()
            pairs.append(np.stack([joined["one"], joined["other"]]).astype(np.int64))
    both = np.concatenate(pairs, axis=1)
    both = both[:, np.argsort(both[0], kind="stable")]
    return both[0], both[1], keys[0], keys[1]


def conditions(rows: int) -> list[str]:
    """Conditions that part all keys into ranges of about ``_ROWS_PER_RANGE``: keys are uniform."""
    count = min(_RANGES, max(1, -(-rows // _ROWS_PER_RANGE)))
    if count == 1:
        return ["true"]
    bounds = [number * 256 // count for number in range(count)] + [256]
    return [
        f"key >= '\\x{low:02X}'::BLOB" + (f" AND key < '\\x{high:02X}'::BLOB" if high < 256 else "")
        for low, high in pairwise(bounds)
    ]
