import itertools

import numpy as np
import pytest
import torch
from enc.engine import FeatureDataset, build_features, to_device
from enc.store import FeatureTable, LabelError, MissingFeatures, Source, SourceError, SpecError, Store
from enc.store.batches import MODES, PlannedFeatures
from fakes import FakeEncoder
from torch.utils.data import DataLoader


@pytest.fixture
def make(tmp_path, write):
    """A dataset of 100 texts whose features begin with their number of words, which is the target, too."""
    write("t.tsv", "text\n" + "\n".join("word " * (1 + i % 8) + f"n{i}" for i in range(100)) + "\n")
    build_features(Source(tmp_path / "t.tsv"), tmp_path / "store", FakeEncoder(max_length=16))
    table = Store(tmp_path / "store").open()
    locations = np.arange(100)

    def dataset(mode="ram", **options):
        planned = PlannedFeatures(table.shards, table.spec, locations, batches=mode)
        return FeatureDataset(
            planned, planned.take(locations)[:, 0].astype(np.int64), **(dict(batch_size=16) | options)
        )

    return dataset


def rows(batches):
    return [tuple(row) for features, _ in batches for row in features.tolist()]


@pytest.mark.parametrize("mode", MODES)
def test_an_epoch_gives_tensors_with_their_targets(make, mode):
    dataset = make(mode)
    batches = list(dataset)
    assert [len(features) for features, _ in batches] == [16] * 6 + [4]
    for features, targets in batches:
        assert (features.dtype, targets.dtype) == (torch.float32, torch.int64)
        torch.testing.assert_close(features[:, 0].long(), targets)
    assert rows(dataset) == rows(batches)  # until another epoch is set
    dataset.set_epoch(1)
    assert sorted(rows(dataset)) == sorted(rows(batches))
    assert rows(dataset) != rows(batches)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("loaded", [False, True], ids=["dataset", "DataLoader"])
def test_an_interrupted_epoch_goes_on_at_the_row(make, mode, loaded):
    dataset, other = make(mode), make(mode, batch_size=7)
    dataset.set_epoch(3)
    whole = rows(dataset)
    batches = iter(DataLoader(dataset, batch_size=None) if loaded else dataset)
    begun = rows([next(batches), next(batches)])
    state = dataset.state_dict()
    assert begun == whole[:32]
    other.load_state_dict(state)
    assert other.state_dict() == state
    other.set_epoch(3)  # as a loop over epochs does
    assert rows(DataLoader(other, batch_size=None) if loaded else other) == whole[32:]
    assert rows(other) == whole  # the state was for once
    dataset.load_state_dict(state)
    dataset.set_epoch(4)
    assert len(rows(dataset)) == 100


def test_a_state_of_another_order_is_refused(make):
    state = make().state_dict()
    for other in (make(seed=1), make(rank=1, world_size=2), make("streamed")):
        with pytest.raises(SourceError, match="another order"):
            other.load_state_dict(state)
    make("mapped").load_state_dict(state)


@pytest.mark.parametrize("mode", MODES)
def test_ranks_and_worker_processes_give_every_row_once(make, mode):
    whole = sorted(rows(make(mode)))
    shares = [rows(make(mode, rank=rank, world_size=3)) for rank in range(3)]
    assert sorted(itertools.chain(*shares)) == whole
    workers = [
        rows(DataLoader(make(mode, rank=rank, world_size=2), batch_size=None, num_workers=2))
        for rank in range(2)
    ]
    assert sorted(itertools.chain(*workers)) == whole


def test_rank_comes_from_torch_distributed(make, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert make().state_dict()["rank"] == 1
    assert len(rows(make())) == 25


def test_what_does_not_fit_is_refused(make):
    dataset = make()
    with pytest.raises(SourceError, match="3 targets for 100 rows"):
        FeatureDataset(dataset.features, np.zeros(3), batch_size=2)
    with pytest.raises(SourceError, match="both rank and world_size"):
        make(rank=1)


def test_batches_for_the_cpu_pass_through(make):
    dataset = make()
    assert rows(to_device(dataset, "cpu")) == rows(dataset)


@pytest.fixture
def labelled(write, tmp_path):
    """Texts with classes, numbers and a row without a label, and their features."""
    lines = [f"{'word ' * (1 + i % 8)}n{i}\t{'ab'[i % 2]}\t{i / 4}" for i in range(20)]
    path = write("labelled.tsv", "\n".join(["text\tlabel\tstars", *lines, "x\t\t", "\ta\t1"]) + "\n")
    build_features(Source(path), tmp_path / "store", FakeEncoder(max_length=16), name="set")
    return path, tmp_path / "store" / "set"


def test_a_source_and_a_table_are_enough(labelled):
    path, table = labelled
    dataset = FeatureDataset.of(path, table, batch_size=8)
    assert dataset.labels is not None
    assert dataset.labels.values == ("a", "b")
    found = [(row[0], target) for f, t in dataset for row, target in zip(f.tolist(), t.tolist(), strict=True)]
    expected = [(2.0 + i % 8, i % 2) for i in range(20)]
    assert sorted(found) == sorted(expected)
    assert found != expected  # shuffled


def test_targets_of_a_source(labelled, write):
    path, table = labelled
    train = FeatureDataset.of(Source(path), FeatureTable(table), batch_size=8)
    one = write("one.tsv", "text\tlabel\nword n0\tb\n")
    # The number of a class is that of the training set.
    assert FeatureDataset.of(one, table, batch_size=8, labels=train.labels).targets.tolist() == [1]
    numbers = FeatureDataset.of(path, table, batch_size=8, label_column="stars", task="regression")
    assert numbers.targets.tolist() == [i / 4 for i in range(20)]
    unknown = write("two.tsv", "text\tlabel\nword n0\tc\n")
    with pytest.raises(LabelError, match="'c'"):
        FeatureDataset.of(unknown, table, batch_size=8, labels=train.labels)
    with pytest.raises(MissingFeatures, match="1 text of"):
        FeatureDataset.of(write("new.tsv", "text\tlabel\nbrand new\tb\nx\ta\n"), table, batch_size=8)
    with pytest.raises(SourceError, match="no row with a label and a usable text"):
        FeatureDataset.of(
            write("none.tsv", "text\tlabel\nword n0\t\n"), table, batch_size=8, labels=train.labels
        )
    with pytest.raises(SpecError, match="there is no layer 4"):
        FeatureDataset.of(path, table, batch_size=8, use="layers=4")
