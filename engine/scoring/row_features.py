"""What a head takes of the rows that are scored."""

import numpy as np

from ...store.lookup import NOWHERE
from ...store.stage import Stage
from ..heads.head import Head
from ..pairs.served import combined_rows
from ..pairs.texts import counts_of_ids
from .tables import Group
from .word_texts import texts_of_ids


class RowFeatures:
    """What a head takes of a stage's rows, by their ids: their features, or what is put together of both
    texts of a pair.
    """

    def __init__(self, head: Head, group: Group, stage: Stage):
        self._head, self._locations, self._stage = head, group.locations, stage
        self._features = group.features(head)

    def are_known(self, ids: np.ndarray) -> np.ndarray:
        """Whether there are features of the rows with these ids, bool [n]."""
        found = self._locations[ids] != NOWHERE
        return found if found.ndim == 1 else found.all(1)

    def take(self, ids: np.ndarray) -> np.ndarray:
        """What the head takes, [n, *head.shape], of rows with features; their ids ascend."""
        locations, combination = self._locations[ids], self._head.combination
        if combination is None:
            return self._features.fetch(locations)

        def both(part: slice) -> tuple[np.ndarray, np.ndarray]:
            first, second = (self._features.fetch(locations[part, side]) for side in (0, 1))
            return first, second

        counts = None
        if combination.needs_texts:
            counts = counts_of_ids(self._stage, ids, combination.tables["rarity"])
        return combined_rows(combination, self._head.spec, both, counts, len(ids))

    def outputs(self, ids: np.ndarray) -> np.ndarray:
        """The head's outputs float32 [n, outputs] of rows with features; their ids ascend."""
        texts = None if self._head.words is None else texts_of_ids(self._stage, ids)
        return self._head.outputs(self.take(ids), texts)
