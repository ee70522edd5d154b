import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from enc.engine import Folds, Fraction, Head, TrainConfig, build_features, encode_texts, train_head
from enc.engine.train.examples import load_examples
from enc.engine.train.fit import train_head as train
from enc.store import HeadError, LabelError, MissingFeatures, Source, SourceError, Store
from fakes import FakeEncoder
from safetensors.torch import load_file


@pytest.fixture
def data(tmp_path, write):
    """Texts that are long or short by label, encoded, with a few unlabelled and empty rows."""
    lines = ["text\tlabel"]
    for i in range(120):
        lines.append(f"{'word ' * (1 + 5 * (i % 2))}n{i}\t{'long' if i % 2 else 'short'}")
    train_file = write("train.tsv", "\n".join([*lines, "no label here\t", "\tlong"]) + "\n")
    valid_file = write("valid.tsv", "\n".join([lines[0], *lines[1:31]]) + "\n")
    build_features(Source([train_file, valid_file]), tmp_path / "store", FakeEncoder())
    return train_file, valid_file, Store(tmp_path / "store").open()


CONFIG = TrainConfig(epochs=8, learning_rate=0.05, batch_size=16)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_separable_task_is_learned(data, optimizer):
    train_file, valid_file, table = data
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    counts, epochs = [], []
    head = train_head(
        Source(train_file),
        table,
        valid=Source(valid_file),
        config=config,
        on_data=lambda *sets: counts.extend(sets),
        on_epoch=epochs.append,
    )
    assert (
        head.metrics["accuracy"] == head.history[-1]["valid_accuracy"] == epochs[-1].valid["accuracy"] == 1.0
    )
    assert head.history[0]["train_loss"] > head.history[-1]["train_loss"]
    assert [c.counts for c in counts] == [{"long": 60, "short": 60}, {"long": 15, "short": 15}]
    assert (counts[0].unlabelled, counts[0].rejected, counts[0].majority) == (1, 1, 0.5)
    assert head.labels.values == ("long", "short")


def test_the_reported_loss_is_that_of_the_saved_weights(data):
    _, valid_file, table = data
    head = train_head(Source(valid_file), table, valid=Source(valid_file), config=CONFIG)
    rows = [line.split("\t") for line in valid_file.read_text().splitlines()[1:]]
    labels = [row[1] for row in rows]
    probabilities = head.predict_proba(encode_texts(FakeEncoder(), [row[0] for row in rows]))
    expected = -np.mean(
        [np.log(p[head.labels.values.index(label)]) for p, label in zip(probabilities, labels, strict=True)]
    )
    assert head.metrics["loss"] == pytest.approx(expected, rel=1e-4)


def test_same_seed_same_bits(data):
    train_file, valid_file, table = data
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    heads = [train(Source(train_file), table, valid=Source(valid_file), config=CONFIG) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)  # the caller's random state is left alone
    states = [head.network.state_dict() for head in heads]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    histories = [[{k: v for k, v in row.items() if k != "seconds"} for row in head.history] for head in heads]
    assert histories[0] == histories[1]
    other = train(
        Source(train_file), table, valid=Source(valid_file), config=dataclasses.replace(CONFIG, seed=1)
    )
    assert not torch.equal(other.network.state_dict()["head.fc1.weight"], states[0]["head.fc1.weight"])


def test_the_bits_do_not_depend_on_the_threads_and_these_are_given_back(data):
    train_file, valid_file, table = data
    before = torch.get_num_threads()
    try:
        states = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            states.append(
                train(Source(train_file), table, valid=Source(valid_file), config=CONFIG).network.state_dict()
            )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_schedule_sets_the_learning_rate_of_each_step(data):
    train_file, valid_file, table = data
    config = dataclasses.replace(CONFIG, schedule="linear", epochs=2)
    head = train(Source(train_file), table, valid=Source(valid_file), config=config)
    assert [row["learning_rate"] for row in head.history] == pytest.approx(
        [0.05 * 9 / 16, 0.05 * 1 / 16]
    )  # 8 steps each
    still = train(
        Source(train_file), table, valid=Source(valid_file), config=dataclasses.replace(config, warmup=0.9)
    )
    assert still.history[0]["train_loss"] > head.history[0]["train_loss"]


def test_loss_curve_is_what_it_was(data, golden):
    train_file, valid_file, table = data
    head = train(Source(train_file), table, valid=Source(valid_file), config=CONFIG)
    golden(
        "loss_curve.txt",
        "\n".join(f"{row['epoch']} {row['train_loss']:.3f} {row['valid_loss']:.3f}" for row in head.history),
    )


def test_a_fraction_is_held_out_of_train(data):
    train_file, _, table = data
    counts = []
    train(
        Source(train_file),
        table,
        valid=Fraction(0.25),
        config=CONFIG,
        on_data=lambda *sets: counts.extend(sets),
    )
    assert counts[0].rows + counts[1].rows == 120
    assert 15 < counts[1].rows < 45


def test_the_seed_chooses_the_rows_that_are_held_out(data):
    train_file, _, table = data
    held_out = [
        load_examples(Source(train_file), table, valid=Fraction(0.25), seed=seed).valid.features.locations
        for seed in (1, 1, 2)
    ]
    assert held_out[0].tolist() == held_out[1].tolist() != held_out[2].tolist()


def test_standardized_features_have_mean_0_and_variance_1(data):
    train_file, valid_file, table = data
    head = train(Source(train_file), table, valid=Source(valid_file), config=CONFIG)
    texts = [line.split("\t")[0] for line in train_file.read_text().splitlines()[1:121]]
    features = torch.from_numpy(encode_texts(FakeEncoder(), texts))
    scaled = (features - head.network.mean) * head.network.scale
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    varies = torch.tensor([1.0, 1.0, 0.0, 1.0])  # every text begins with a word of four letters
    torch.testing.assert_close(scaled.std(0, correction=0), varies, atol=1e-3, rtol=0)
    plain = train(
        Source(train_file),
        table,
        valid=Source(valid_file),
        config=dataclasses.replace(CONFIG, standardize=False),
    )
    assert (plain.network.mean == 0).all()
    assert (plain.network.scale == 1).all()


def test_missing_features_name_the_command(data, write):
    _, valid_file, table = data
    more = write("more.tsv", "text\tlabel\nnever seen\tlong\n")
    with pytest.raises(
        MissingFeatures,
        match=r"1 text of .*more\.tsv has no features yet; run `enc build-features .*\.tsv --text-column",
    ):
        train(Source(valid_file), table, valid=Source(more), config=CONFIG)


def test_unknown_validation_label(data, write):
    train_file, _, table = data
    other = write("other.tsv", "text\tlabel\nword n0\tmedium\n")
    with pytest.raises(LabelError, match="unknown label 'medium'"):
        train(Source(train_file), table, valid=Source(other), config=CONFIG)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(valid=None), "give the rows to validate on"),
        (dict(valid=0.2), r"must be a Source, Fraction\(0.2\) or Folds\(5\), not 0.2"),
        (dict(valid=Folds(5)), "with Folds call search or search_path"),
        (dict(valid=Fraction(1e-9)), "no row is left for the valid set"),
    ],
)
def test_validation_rows_must_be_given(data, options, message):
    train_file, _, table = data
    with pytest.raises(SourceError, match=message):
        train(Source(train_file), table, config=CONFIG, **options)


def test_a_saved_head_is_whole(data, tmp_path):
    train_file, valid_file, table = data
    head = train(Source(train_file), table, valid=Source(valid_file), config=CONFIG)
    folder = head.save(tmp_path / "out" / "head")
    assert sorted(p.name for p in folder.iterdir()) == [
        "head.json",
        "head.safetensors",
        "history.parquet",
        "metrics.json",
    ]
    assert [p.name for p in folder.parent.iterdir()] == ["head"]
    assert json.loads((folder / "metrics.json").read_text()) == head.metrics
    assert pq.read_table(folder / "history.parquet").to_pylist() == head.history
    assert load_file(folder / "head.safetensors").keys() == {
        "mean",
        "scale",
        "head.fc1.weight",
        "head.fc1.bias",
    }
    loaded = Head.load(folder)
    assert (loaded.labels, loaded.spec, loaded.metrics, loaded.text_column) == (
        head.labels,
        head.spec,
        head.metrics,
        "text",
    )
    features = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict_proba(features), head.predict_proba(features))
    assert set(loaded.predict(features)) <= {"long", "short"}
    loaded.save(folder)  # a head may replace a head
    assert Head.load(folder).labels == head.labels


def test_heads_that_cannot_be_used(data, tmp_path):
    train_file, valid_file, table = data
    head = train(Source(train_file), table, valid=Source(valid_file), config=CONFIG)
    with pytest.raises(HeadError, match=r"features have shape \[3\], the head takes \[4\]"):
        head.predict_proba(np.zeros((1, 3), np.float32))
    with pytest.raises(HeadError, match="is there and is not a head"):
        head.save(tmp_path)
    with pytest.raises(HeadError, match="no head in"):
        Head.load(tmp_path)
    folder = head.save(tmp_path / "head")
    saved = json.loads((folder / "head.json").read_text())
    (folder / "head.json").write_text(json.dumps(saved | {"format": 99}))
    with pytest.raises(HeadError, match="newer enc"):
        Head.load(folder)
    (folder / "head.json").write_text(json.dumps({**saved, "labels": ["one", "two", "three"]}))
    with pytest.raises(HeadError, match="is damaged"):
        Head.load(folder)
    (folder / "head.json").write_text("{")
    with pytest.raises(HeadError, match="is damaged"):
        Head.load(folder)
