"""What a head takes of the rows that are scored, and what it gives for them."""

from typing import Protocol

import numpy as np

from ...store.stage import StagedTexts
from ..heads.head import Head
from ..pairs.served import combined_rows
from ..pairs.texts import counts_of_ids
from .batches_of_ids import are_known
from .tables import Group
from .word_texts import texts_of_ids


class RowOutputs(Protocol):
    """What a head gives for rows, by their ids."""

    def are_known(self, ids: np.ndarray) -> np.ndarray:
        """Whether there are features of the rows with these ids, bool [n]."""
        ...

    def outputs(self, ids: np.ndarray) -> np.ndarray:
        """The head's outputs float32 [n, outputs] of rows with features; their ids ascend."""
        ...


class RowFeatures:
    """What a head takes of a stage's rows, by their ids: their features, or what is put together of both
    texts of a pair.
    """

    def __init__(self, head: Head, group: Group, stage: StagedTexts):
        self._head, self._locations, self._stage = head, group.locations, stage
        self._features = group.features(head)

    def are_known(self, ids: np.ndarray) -> np.ndarray:
        """Whether there are features of the rows with these ids, bool [n]."""
        return are_known(self._locations, ids)

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
