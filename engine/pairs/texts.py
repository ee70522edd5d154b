"""What is read of the texts of pairs: the counts of their words."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, plan
from ...store.stage import StagedTexts
from .combination import Combination
from .words import COUNTS, WordRarity, word_counts

_READ_ROWS = 8192


def rarity_of(stage: StagedTexts, chosen: np.ndarray) -> np.ndarray:
    """How rare the words of the chosen rows' texts are; ``chosen`` is bool [ids].

    See :meth:`engine.pairs.words.WordRarity.table`.
    """
    rarity = WordRarity()
    for _, first, second in _texts(stage, chosen):
        rarity.add(first)
        rarity.add(second)
    return rarity.table()


def counts_of(stage: StagedTexts, chosen: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """Word counts float32 [rows, …] of the chosen rows' pairs, in the order of their ids."""
    counts = np.empty((int(np.count_nonzero(chosen)), len(COUNTS)), np.float32)
    place = np.cumsum(chosen) - 1
    for ids, first, second in _texts(stage, chosen):
        counts[place[ids]] = word_counts(first, second, rarity)
    return counts


def counts_of_ids(stage: StagedTexts, ids: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """Word counts float32 [rows, …] of the pairs of rows with these ids, which ascend and are near by."""
    if not len(ids):
        return np.empty((0, len(COUNTS)), np.float32)
    first, last = int(ids[0]), int(ids[-1])
    wanted = np.zeros(last - first + 1, np.bool_)
    wanted[ids - first] = True
    condition = f"id >= {first} AND id <= {last}"
    parts = [
        word_counts(one, other, rarity)
        for _, one, other in _texts(stage, wanted, first_id=first, condition=condition)
    ]
    counts = np.concatenate(parts)
    if len(counts) != len(ids):
        raise RuntimeError(f"stage {stage.name} has texts of {len(counts)} of {len(ids)} rows")
    return counts


def pair_rows(
    combination: Combination,
    spec: FeatureSpec,
    features: np.ndarray,
    texts: Sequence[str],
    pairs: Sequence[str],
) -> np.ndarray:
    """What a head sees of pairs in memory, float32 [rows, width].

    ``features`` are those of the first texts and then of the second ones, [2 * rows, *spec.shape].
    """
    rows, counts = len(texts), None
    if combination.needs_texts:
        first, second = (pa.array(side, pa.string()) for side in (texts, pairs))
        counts = word_counts(first, second, combination.tables["rarity"])
    return combination(spec, features[:rows], features[rows:], counts)


def _texts(
    stage: StagedTexts, chosen: np.ndarray, *, first_id: int = 0, condition: str = "true"
) -> Iterator[tuple[np.ndarray, pa.Array, pa.Array]]:
    """Ids int64 [n] of chosen rows, and both texts of each, in the order of the stage.

    ``chosen`` is bool, from the row of id ``first_id`` on; a SQL condition may leave out others beforehand.
    """
    with stage.con.cursor() as cursor:
        rows = cursor.sql(plan.rows_sql(stage.name, "id, text, pair", condition))
        for batch in rows.to_arrow_reader(_READ_ROWS):
            kept = batch.filter(pa.array(chosen[batch.column("id").to_numpy() - first_id]))
            if kept.num_rows:
                yield kept.column("id").to_numpy(), kept.column("text"), kept.column("pair")
