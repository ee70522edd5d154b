"""The states of a frozen layer, read from a store as batches of a fine-tune."""

import numpy as np

from ...store import FeatureTable, Source
from ...store.batches import PlannedFeatures
from ...store.duck import workspace
from ...store.lookup import look_up
from ...store.required import require_features
from ...store.stage import stage_source
from ...store.token_batches import PlannedTokens, planned_features


class FrozenStates:
    """The states of a set's rows, by their places in it."""

    def __init__(self, features: PlannedFeatures):
        self._features = features

    def batch(self, places: np.ndarray, width: int) -> np.ndarray:
        """States float32 [rows, width, hidden] of places int64 [rows], with zeros behind their tokens."""
        features = self._features
        taken = features.take_padded(places) if isinstance(features, PlannedTokens) else features.take(places)
        taken = taken[:, :width]
        states = np.zeros((len(places), width, taken.shape[2]), np.float32)
        states[:, : taken.shape[1]] = taken
        return states


def states_of(source: Source, table: FeatureTable) -> FrozenStates:
    """The stored states of a source that is one file, its rows in the file's order.

    Raises MissingFeatures where texts of it are not in the table.
    """
    with workspace() as con:
        stage = stage_source(con, source, "states")
        found = look_up(stage, table.shards)
        require_features(table, [(stage, found)])
        ids = con.sql(f"SELECT id FROM {stage.name} WHERE key IS NOT NULL ORDER BY row").fetchnumpy()["id"]
        locations = found.locations[np.asarray(ids, np.int64)]
        return FrozenStates(planned_features(table.shards, table.spec, locations))
