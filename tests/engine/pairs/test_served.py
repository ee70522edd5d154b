"""The rows of pairs, however they are served."""

import numpy as np
import pytest
from enc.engine.pairs.combination import Combination
from enc.engine.pairs.served import PairFeatures
from enc.store import SourceError
from enc.store.batches import PlannedFeatures
from feature_sets import filled

FIRST, SECOND = np.array([3, 1, 4, 1, 5]), np.array([2, 6, 3, 1, 0])


@pytest.fixture
def serve(tmp_path):
    table = filled(tmp_path / "t", range(1, 8), layers=(1,))

    def make(names=("difference", "product"), **options) -> PairFeatures:
        sides = (PlannedFeatures(table.shards, table.spec, side) for side in (FIRST, SECOND))
        return PairFeatures(*sides, Combination(names), **options)

    return make


U, V = (np.repeat(side[:, None] + 1, 4, 1).astype(np.float32) for side in (FIRST, SECOND))
COMBINED = np.concatenate([np.abs(U - V), U * V], 1)


@pytest.mark.parametrize("mode", ["ram", "mapped"])
def test_rows_are_combined_whatever_the_mode(serve, mode, monkeypatch):
    features = serve(batches=mode)
    monkeypatch.setattr("enc.engine.pairs.served.block_rows", lambda _: 2)
    assert (features.mode, features.shape, features.rows) == (mode, (8,), 5)
    np.testing.assert_array_equal(features.take(np.array([4, 0])), COMBINED[[4, 0]])
    np.testing.assert_array_equal(np.concatenate(list(features.blocks(2))), COMBINED)
    np.testing.assert_array_equal(np.concatenate(list(features.blocks(3, 1, 4))), COMBINED[1:4])
    some = features.part(rows=np.array([2, 0]))
    np.testing.assert_array_equal(some.take(np.arange(2)), COMBINED[[2, 0]])
    positions, rows = zip(*features.epoch(7, 1, 2), strict=True)
    assert sorted(np.concatenate(positions).tolist()) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(np.concatenate(rows), COMBINED[np.concatenate(positions)])
    shared = [np.concatenate([p for p, _ in features.epoch(7, 1, 2, rank=r, world_size=2)]) for r in (0, 1)]
    assert sorted(np.concatenate(shared).tolist()) == [0, 1, 2, 3, 4]


def test_pairs_cannot_be_streamed(serve):
    with pytest.raises(SourceError, match="--batches ram or mapped"):
        serve(batches="streamed")


def test_equal_pairs_have_equal_locations_in_any_order(tmp_path):
    table = filled(tmp_path / "t", range(8))
    first, second = np.array([3, 1, 4, 1, 5]), np.array([2, 3, 1, 4, 3])
    sides = (PlannedFeatures(table.shards, table.spec, side) for side in (first, second))
    places = PairFeatures(*sides, Combination(("cosines",))).locations
    assert places[2] == places[3]
    assert len(set(places.tolist())) == 4


def test_a_layer_that_bends_is_fitted_to_the_rows(serve):
    features = serve(("difference", "rbf")).fitted()
    assert features.combination.tables["rbf.mean"].tolist() == np.abs(U - V).mean(0).tolist()
    assert features.take(np.arange(5)).shape == (5, 4 + 512)
