"""Features of tokens are built without padding, and serve everything that reads features."""

import dataclasses

import numpy as np
import pytest
from enc.engine import Fraction, TrainConfig, build_features, encode_texts, score_parquet, train_head
from enc.store import FeatureTable, Source, Store
from enc.store.compare import compare
from fakes import TEXTS, FakeEncoder

RAGGED = dict(pooling=("tokens",), token_layout="ragged")
PADDED = dict(pooling=("tokens",))


@pytest.fixture
def source(tmp_path):
    lines = [f"{text}\t{len(text.split()) > 2}" for text in TEXTS]
    (tmp_path / "t.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    return Source(tmp_path / "t.tsv")


def built(source, tmp_path, name, **changes):
    build_features(source, tmp_path / "store", FakeEncoder(**changes), name=name)
    return Store(tmp_path / "store").open(name)


def test_they_are_those_of_a_padded_set_in_fewer_bytes(source, tmp_path):
    ragged, padded = (built(source, tmp_path, n, **s) for n, s in (("r", RAGGED), ("p", PADDED)))
    found, wanted = (table.lookup(TEXTS) for table in (ragged, padded))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
    assert compare(ragged, padded).max_difference == 0
    np.testing.assert_array_equal(
        encode_texts(FakeEncoder(**RAGGED), TEXTS), encode_texts(FakeEncoder(**PADDED), TEXTS)
    )


def test_a_window_that_is_interrupted_keeps_what_is_encoded(source, tmp_path):
    broken = FakeEncoder(fail_after=3, tokens_per_batch=16, **RAGGED)
    with pytest.raises(RuntimeError):
        build_features(source, tmp_path / "store", broken, name="r")
    kept = FeatureTable(tmp_path / "store" / "r").rows
    assert 0 < kept < len(set(TEXTS))
    summary = build_features(source, tmp_path / "store", FakeEncoder(**RAGGED), name="r")
    assert summary.cached == kept
    wanted = encode_texts(FakeEncoder(**PADDED), TEXTS)
    np.testing.assert_array_equal(np.asarray(Store(tmp_path / "store").open("r").lookup(TEXTS)), wanted)


def test_a_set_keeps_the_layout_that_it_has(source, tmp_path):
    old = built(source, tmp_path, "old", **PADDED)
    (tmp_path / "more.tsv").write_text("text\tlabel\nnew words here\tTrue\n")
    more = Source(tmp_path / "more.tsv")
    assert build_features(more, tmp_path / "store", FakeEncoder(**RAGGED), name="old").encoded == 1
    assert not old.refresh().spec.is_ragged
    assert np.asarray(old.lookup(["new words here"])).shape == (1, 8, 4)


@pytest.mark.parametrize("head", ["attention", "cnn", "lstm", "linear", "mlp"])
@pytest.mark.parametrize("mode", ["ram", "mapped", "streamed"])
def test_every_head_learns_from_them_and_scores(head, mode, source, tmp_path):
    table = built(source, tmp_path, "r", **RAGGED)
    config = TrainConfig(head=head, epochs=12, batch_size=16, learning_rate=0.01)
    trained = train_head(source, table, valid=Fraction(0.3), config=config, batches=mode)
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]
    features = encode_texts(FakeEncoder(**RAGGED), TEXTS)
    score_parquet(source, tmp_path / "out.parquet", trained, tmp_path / "store")
    padded = built(source, tmp_path, "p", **PADDED)
    older = dataclasses.replace(trained, spec=padded.spec)
    np.testing.assert_array_equal(older.outputs(features), trained.outputs(features))
    older.require(table.spec)
