"""The search for a head, from rows to a head that scores."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.engine import Head, predict_texts, score_parquet
from enc.engine.auto import features
from enc.engine.auto.config import AutoConfig
from enc.engine.auto.run import auto_head
from enc.engine.encode.build import build_features
from enc.store import LabelError, Source, SourceError, Store, StoreError
from fakes import FakeEncoder

LAYERS = 3
NAMES = ["alpha", "beta", "gamma", "delta"]


class Loader:
    """Makes fake encoders, and keeps them to be asked what they encoded."""

    def __init__(self):
        self.made = []

    def __call__(self, asked):
        encoder = FakeEncoder(**{"layers": (LAYERS,), **asked})
        encoder.layer_count = LAYERS
        self.made.append(encoder)
        return encoder

    @property
    def encoded(self):
        return sum(encoder.encoded for encoder in self.made)


def texts_file(tmp_path, label):
    """120 texts, each twice, and a label made of the number of words and of the last word."""
    rng = np.random.default_rng(0)
    lines = ["text\tlabel"]
    for number in range(120):
        count, last = int(rng.integers(1, 6)), ["good", "evil"][number % 2]
        text = f"{' '.join(rng.choice(NAMES, count))} {number:03} {last}"
        lines += [f"{text}\t{label(count, last)}"] * 2
    path = tmp_path / "t.tsv"
    path.write_text("\n".join(lines) + "\n")
    return Source(path)


def search(source, store, loader=None, **options):
    told = []
    config = AutoConfig(**{"folds": 3, **options.pop("config", {})})
    found = auto_head(source, store, config=config, load=loader or Loader(), say=told.append, **options)
    return found, "\n".join(told)


def by_name(found):
    return {one.name: one for one in found.tried}


def test_features_that_tell_the_label_are_found(tmp_path):
    source, loader = texts_file(tmp_path, lambda count, _: "long" if count > 2 else "short"), Loader()
    found, told = search(source, tmp_path / "store", loader)
    assert found.metric == "accuracy"
    tried = by_name(found)
    kept = next(one for one in found.tried if one.is_kept)
    assert kept.name == "mean of layers 1-3"  # the simplest of several that are right
    assert kept.metric > 0.98 > tried["words alone"].metric > tried["the most frequent answer"].metric > 0.5
    assert kept.feature_bytes == 3 * 4 * 4
    assert kept.can_be_kept
    assert not tried["words alone"].can_be_kept
    assert loader.encoded == 2 * 120  # once as pooled features, once as tokens
    assert "mean, max and cls of layers 1-3" in told
    assert "accuracy" in told
    head = found.head
    assert head.spec.layers == (1, 2, 3)
    assert head.metrics["accuracy"] == pytest.approx(kept.metric)
    assert head.record["auto"]["reason"].startswith("kept: mean of layers 1-3")
    head.save(tmp_path / "head", found.tables)
    assert pq.read_table(tmp_path / "head" / "auto.parquet").num_rows == len(found.tried)
    assert pq.read_table(tmp_path / "head" / "out_of_fold.parquet").num_rows == 240
    score_parquet(source, tmp_path / "out.parquet", Head.load(tmp_path / "head"), tmp_path / "store")
    scored = pq.read_table(tmp_path / "out.parquet")
    assert np.mean(np.array(scored["label"]) == np.array(scored["prediction"])) > 0.98


def test_words_join_where_they_tell_more(tmp_path):
    source = texts_file(tmp_path, lambda count, last: f"{last} {count > 2}")
    found, _ = search(source, tmp_path / "store")
    assert found.head.words is not None
    tried = by_name(found)
    kept = next(one for one in found.tried if one.is_kept)
    assert kept.name.endswith(", and words")
    assert kept.metric > tried["words alone"].metric
    assert kept.metric > tried["mean of layers 1-3"].metric
    assert found.head.metrics["accuracy"] == pytest.approx(kept.metric)
    found.head.save(tmp_path / "head")
    encoder = Loader()(found.head.spec.setting)
    texts = ["alpha 1 evil", "alpha beta beta 2 good"]
    predicted = predict_texts(Head.load(tmp_path / "head"), texts, encoder)
    assert [one.value for one in predicted] == ["evil False", "good True"]


def test_the_same_seed_finds_the_same_whatever_the_store_holds(tmp_path):
    source = texts_file(tmp_path, lambda count, last: f"{last} {count > 3}")
    first, _ = search(source, tmp_path / "store")
    lines = (tmp_path / "t.tsv").read_text().splitlines()
    (tmp_path / "other.tsv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    build_features(Source(tmp_path / "other.tsv"), tmp_path / "again", Loader()(
        {"layers": (1, 2, 3), "pooling": ("cls", "max", "mean")}), name="mine")  # fmt: skip
    loader = Loader()
    again, told = search(source, tmp_path / "again", loader)
    assert "features 'mine'" in told
    assert "all 120 texts are stored" in told
    assert [(one.name, one.metric, one.error) for one in first.tried] == [
        (one.name, one.metric, one.error) for one in again.tried
    ]
    for name, values in first.head.weights.items():
        np.testing.assert_array_equal(values, again.head.weights[name])


def test_a_regression_is_searched_for(tmp_path):
    source = texts_file(tmp_path, lambda count, last: count + (last == "good") / 2)
    found, _ = search(source, tmp_path / "store", task="regression")
    assert found.metric == "pearson"
    assert found.head.metrics["pearson"] > 0.95


def test_several_labels_are_searched_for(tmp_path):
    source = texts_file(tmp_path, lambda count, last: json.dumps(["long"] * (count > 2) + [last]))
    found, _ = search(source, tmp_path / "store", task="multi-label")
    assert found.metric == "f1"
    assert found.head.metrics["f1"] > 0.9


def test_pairs_that_are_encoded_apart_have_candidates_of_their_own(tmp_path):
    rng = np.random.default_rng(1)
    lines = ["a\tb\tlabel"]
    for number in range(150):
        words = [f"{rng.choice(NAMES)}{number % 40}" for _ in range(4)]
        other = words if number % 2 else [f"{rng.choice(NAMES)}{number % 40 + 50}" for _ in range(4)]
        lines.append(f"{' '.join(words)}\t{' '.join(other)} x\t{number % 2}")
    (tmp_path / "p.tsv").write_text("\n".join(lines) + "\n")
    source = Source(tmp_path / "p.tsv", text_column="a", pair_column="b", pairs="separate")
    loader = Loader()
    found, _ = search(source, tmp_path / "store", loader)
    names = list(by_name(found)) + [one.name for one in found.stopped]
    assert names[2] == "cosines"
    assert "cosines and shared words" in names
    assert any("aligned tokens" in name for name in names)
    assert found.head.combination is not None
    assert "words" in found.head.combination.names
    assert found.head.metrics["accuracy"] > 0.98
    distinct = {text for line in lines[1:] for text in line.split("\t")[:2]}
    assert loader.encoded == 2 * len(distinct)


def test_the_first_head_comes_to_its_end_when_the_time_is_over(tmp_path):
    source = texts_file(tmp_path, lambda count, _: "long" if count > 2 else "short")
    found, told = search(source, tmp_path / "store", config={"minutes": 1e-6})
    assert [one.name for one in found.tried if one.can_be_kept] == ["mean of layers 1-3"]
    assert all(one.is_late for one in found.stopped)
    assert "the time is over" in told
    assert any("more minutes" in one for one in found.next_steps)
    assert found.head.metrics["accuracy"] > 0.98


def test_fewer_features_are_made_where_the_disk_is_small(tmp_path, monkeypatch):
    source = texts_file(tmp_path, lambda count, _: "long" if count > 2 else "short")
    a_part = 120 * 4 * 4
    monkeypatch.setattr(features, "free_bytes", lambda _: 2 * 3 * a_part)
    found, told = search(source, tmp_path / "store")
    assert "mean, max and cls of layer 3" in told
    assert found.head.spec.layers == (3,)
    assert Store(tmp_path / "store").open().spec.layers == (3,)
    monkeypatch.setattr(features, "free_bytes", lambda _: a_part)
    with pytest.raises(StoreError, match=r"take at least 1\.9 kB, and 1\.9 kB are free"):
        search(source, tmp_path / "other")


def test_more_is_kept_of_long_texts_unless_told(tmp_path):
    source = texts_file(tmp_path, lambda count, _: "long" if count > 2 else "short")
    lines = (tmp_path / "t.tsv").read_text().splitlines()
    longer = [line.replace(" ", " and so on it goes ") for line in lines[1:]]
    (tmp_path / "t.tsv").write_text("\n".join([lines[0], *longer]) + "\n")
    found, told = search(source, tmp_path / "store")
    assert "longer than 8 tokens; 256 are kept" in told
    assert found.head.spec.max_length == 256
    found, told = search(source, tmp_path / "store", asked={"max_length": 16})
    assert found.head.spec.max_length == 16
    assert "are kept" not in told


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"config": {"metric": "pearson"}}, SourceError, "pearson"),
        ({"config": {"class_weights": {"medium": 2.0}}}, LabelError, "medium"),
        ({"label_column": "stars"}, SourceError, "stars"),
        ({"config": {"metric": "nonsense"}}, SourceError, "nonsense"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_encoded(tmp_path, options, error, told):
    source, loader = texts_file(tmp_path, lambda count, _: "long" if count > 2 else "short"), Loader()
    with pytest.raises(error, match=told):
        search(source, tmp_path / "store", loader, **options)
    assert not loader.made


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "ten", True, None])
def test_minutes_are_a_number_above_zero(minutes):
    with pytest.raises(SourceError, match="minutes"):
        AutoConfig(minutes=minutes)
