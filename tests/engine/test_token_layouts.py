"""What reads token features gives the same for both layouts: with padding in the store, and without."""

from itertools import chain

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.engine import (
    FeatureDataset,
    Fraction,
    TrainConfig,
    build_features,
    evaluate_head,
    load_examples,
    predict_texts,
    score_parquet,
    train_head,
    write_features,
)
from enc.engine.sweep.grid import Run
from enc.engine.sweep.runs import train_runs
from enc.engine.train.fit import fit
from enc.engine.train.ranks import Ranks
from enc.store import Source, Store
from enc.store.batches import MODES
from fakes import TEXTS, FakeEncoder
from torch.utils.data import DataLoader

LAYOUTS = ("ragged", "padded")


def setting(layout):
    return dict(pooling=("tokens",), token_layout=layout, layers=(1, 2))


@pytest.fixture
def source(tmp_path, write):
    lines = [f"{one}\t{other}\t{len(one.split()) > 2}" for one, other in zip(TEXTS, TEXTS[::-1], strict=True)]
    return Source(write("t.tsv", "\n".join(["text\tother\tlabel", *lines, ""])), text_column="text")


@pytest.fixture
def tables(tmp_path, source):
    """A set of each layout, in stores of their own."""
    for layout in LAYOUTS:
        build_features(source, tmp_path / layout, FakeEncoder(**setting(layout)), name="set")
    return [Store(tmp_path / layout).open() for layout in LAYOUTS]


@pytest.mark.parametrize("combine", ["alignment", "cosines"])
def test_pairs_that_are_encoded_apart(tables, tmp_path, combine):
    pairs = Source(tmp_path / "t.tsv", text_column="text", pair_column="other", pairs="separate")
    found = []
    for table in tables:
        data = load_examples(pairs, table, valid=Fraction(0.3), combine=combine)
        found.append(data.train.features.take(np.arange(data.train.features.rows)))
    np.testing.assert_array_equal(*found)


def test_what_a_head_of_old_features_makes_of_new_ones(tables, source, tmp_path):
    config = TrainConfig(head="attention", epochs=2, batch_size=16)
    head = train_head(source, tables[1], valid=Fraction(0.3), config=config)
    found, predicted = [], []
    for layout in LAYOUTS:
        score_parquet(source, tmp_path / f"{layout}.parquet", head, tmp_path / layout, proba=True)
        found.append(pq.read_table(tmp_path / f"{layout}.parquet"))
        predicted.append(predict_texts(head, TEXTS, FakeEncoder(**setting(layout))))
    assert found[0].equals(found[1])
    assert predicted[0] == predicted[1]
    judged = [evaluate_head(source, head, tmp_path / layout) for layout in LAYOUTS]
    assert judged[0].figures.metrics == judged[1].figures.metrics


@pytest.mark.parametrize("ending", ["parquet", "npy"])
def test_features_that_are_written(tables, source, tmp_path, ending):
    for table, layout in zip(tables, LAYOUTS, strict=True):
        write_features(
            source, tmp_path / f"{layout}.{ending}", table, columns=[] if ending == "npy" else None
        )
    first, second = (tmp_path / f"{layout}.{ending}" for layout in LAYOUTS)
    if ending == "npy":
        assert first.read_bytes() == second.read_bytes()
    else:
        assert pq.read_table(first).equals(pq.read_table(second))


@pytest.mark.parametrize("layout", [0, 1], ids=LAYOUTS)
@pytest.mark.parametrize("head", ["attention", "linear"])
def test_a_sweep_trains_the_heads_of_single_runs(tables, source, head, layout):
    data = load_examples(source, tables[layout], valid=Fraction(0.3))
    given = dict(head=head, head_args={"dropout": 0} if head == "attention" else {})
    configs = [TrainConfig(**given, epochs=2, batch_size=16, learning_rate=rate) for rate in (0.01, 0.1)]
    together = train_runs(data, [Run(config) for config in configs])
    for config, result in zip(configs, together, strict=True):
        alone = fit(data, config)
        for name, weights in result.network.state_dict().items():
            np.testing.assert_allclose(alone.weights[name], weights.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_goes_on_within_an_epoch(tables, source, mode, workers):
    def loaded():
        return FeatureDataset.of(source, tables[0], batch_size=8, batches=mode)

    def rows(batches):
        return [tuple(row[row.any(-1)].ravel()) for features, _ in batches for row in features.numpy()]

    whole = rows(DataLoader(loaded(), batch_size=None, num_workers=workers))
    assert len(whole) == len(TEXTS)
    if not workers:
        dataset = loaded()
        begun = iter(dataset)
        first = [next(begun) for _ in range(4)]
        later = loaded()
        later.load_state_dict(dataset.state_dict())
        assert rows(first) + rows(later) == whole


@pytest.mark.parametrize("layout", [0, 1], ids=LAYOUTS)
def test_ranks_share_the_batches_of_one_process(tables, source, layout):
    features = load_examples(source, tables[layout], valid=Fraction(0.3)).train.features
    parts = []
    for rank in range(2):
        ranks = Ranks()
        ranks.rank, ranks.size = rank, 2
        parts.append([one for one, _, _ in ranks.epoch(features, 3, 1, 8)])
    shared = [np.concatenate(both) for both in zip(*parts, strict=True)]
    wanted = [positions for positions, _ in features.epoch(3, 1, 8)]
    assert list(chain(*shared)) == list(chain(*wanted))
    assert list(map(len, shared)) == list(map(len, wanted))
