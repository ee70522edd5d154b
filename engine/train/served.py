"""The features of a stage's rows as heads are trained on them: of texts, or of pairs put together."""

from collections.abc import Callable, Iterable

import numpy as np

from ...store import FeatureSpec, FeatureTable, Source, SourceError
from ...store.arrays import ArrayFeatures
from ...store.batches import PlannedFeatures
from ...store.stage import Stage
from ...store.token_batches import planned_features
from ..pairs.combination import Combination
from ..pairs.served import PairFeatures
from ..pairs.texts import counts_of, rarity_of

Features = PlannedFeatures | PairFeatures | ArrayFeatures
Serve = Callable[[Stage, np.ndarray, np.ndarray], Features]
"""From a stage, which of its rows are served (bool [ids]), and their locations, to their features."""


def serving(
    table: FeatureTable,
    use: FeatureSpec | None,
    batches: str | None,
    combination: Combination | None,
) -> Serve:
    """What serves the rows of a table; the training rows have to be asked for first.

    The tables of a combination are learned from the training rows, and serve the other rows, too.
    """

    def planned(locations: np.ndarray, mode: str | None) -> PlannedFeatures:
        return planned_features(table.shards, table.spec, locations, batches=mode, use=use)

    if combination is None:
        return lambda _stage, _chosen, locations: planned(locations, batches)
    made = combination
    is_learned = False

    def serve(stage: Stage, chosen: np.ndarray, locations: np.ndarray) -> PairFeatures:
        nonlocal made, is_learned
        counts = None
        if made.needs_texts:
            if not is_learned:
                made = made.with_tables(rarity=rarity_of(stage, chosen))
            counts = counts_of(stage, chosen, made.tables["rarity"])
        first, second = (planned(np.ascontiguousarray(locations[:, side]), "mapped") for side in (0, 1))
        features = PairFeatures(first, second, made, counts, batches=batches)
        if not is_learned:
            features = features.fitted()
            made, is_learned = features.combination, True
        return features

    return serve


def require_alike(train: Source, judged: Iterable[object], combine: object) -> None:
    """Raise SourceError where the sources among ``judged`` (to validate and to test on) have pairs that are
    encoded in another way than those of training, or where something is to be combined that is no pair.
    """
    for rows in judged:
        if isinstance(rows, Source) and rows.pairs != train.pairs:
            raise SourceError(
                f"pairs are {train.pairs} in {train.title} and {rows.pairs} in {rows.title}; "
                "encode both in one way"
            )
    if combine is not None and not train.is_separate:
        raise SourceError(
            "--combine is for pairs whose texts are encoded apart: add --pair-column and --pairs separate"
        )
