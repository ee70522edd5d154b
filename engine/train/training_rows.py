"""The batches of an epoch as a network takes them."""

from collections.abc import Iterator

import numpy as np
import torch

from ...store.orders import length_grouped
from ..heads.by_length import goes_by_length, trimmed
from ..heads.networks import Standardized
from .examples import Examples
from .ranks import Ranks
from .token_rows import rows_of


class TrainingRows:
    """Epochs of a set of rows, in float32.

    A network that is as dear as its longest row gets rows of like length together, padded to the longest of
    them. Where several processes train together (:mod:`.ranks`), each gets its share of every batch.
    """

    def __init__(self, examples: Examples, network: Standardized, batch_size: int):
        self.ranks = Ranks()
        self.ranks.begin(examples.features, batch_size)
        self._features, self._batch_size = examples.features, batch_size
        self._may_be_shorter = network.takes_mask
        self._lengths = examples.token_counts if goes_by_length(network) else None
        if self._lengths is None:
            self._batch = torch.zeros(min(batch_size, len(examples.targets)), *examples.features.shape)

    def epoch(self, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, torch.Tensor, int]]:
        """Positions int64 [n], features [n, *shape] and rows of each batch, in an order by seed and epoch.

        A batch is good until the next one is asked for.
        """
        if self._lengths is None:
            for positions, features, size in self.ranks.epoch(self._features, seed, epoch, self._batch_size):
                yield positions, self._filled(features), size
            return
        for batch in length_grouped(self._lengths, self._batch_size, seed, epoch):
            positions = self.ranks.share(batch)
            features = rows_of(self._features, positions)
            yield positions, trimmed(features, self._lengths[positions]), len(batch)

    def _filled(self, features: np.ndarray) -> torch.Tensor:
        """A batch in float32; tokens of a shorter batch are padded for heads that know no mask."""
        rows, given = self._batch[: len(features)], torch.from_numpy(features)
        if features.ndim == 3 and features.shape[1] < rows.shape[1]:
            if self._may_be_shorter and features.shape[1]:
                return given.float()
            rows[:, features.shape[1] :] = 0
            rows[:, : features.shape[1]].copy_(given)
            return rows
        return rows.copy_(given)
