"""Stores and heads that enc 0.1 wrote, kept under tests/data, still open and give the numbers of then."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from enc.engine import Head, build_features, encode_texts
from enc.store import Source, Store
from enc.store.batches import PlannedFeatures
from fakes import FakeEncoder

DATA = Path(__file__).parent / "data" / "v0.1"
EXPECTED = json.loads((DATA / "expected.json").read_text())
TEXTS = [line.split("\t")[0] for line in (DATA / "rows.tsv").read_text().splitlines()[1:]]


def encoder_of(spec):
    return FakeEncoder(pooling=spec.pooling, dtype=spec.dtype)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_heads(name):
    head = Head.load(DATA / name)
    outputs = head.outputs(encode_texts(encoder_of(head.spec), TEXTS[: len(EXPECTED[name])]))
    np.testing.assert_allclose(outputs, EXPECTED[name], atol=1e-6)


@pytest.mark.parametrize("name", ["words", "tokens"])
def test_stores(name, tmp_path):
    table = Store(DATA / "store").open(name)
    assert table.rows == len(TEXTS)
    assert table.spec.digest == encoder_of(table.spec).spec.digest
    features = PlannedFeatures(table.shards, table.spec, np.arange(len(TEXTS)), batches="mapped")
    expected = encode_texts(encoder_of(table.spec), TEXTS)
    found = features.take(np.arange(len(TEXTS))).reshape(len(TEXTS), -1)
    assert sorted(found.tolist()) == sorted(expected.reshape(len(TEXTS), -1).tolist())


def test_texts_of_then_are_known_today(tmp_path):
    shutil.copytree(DATA / "store", tmp_path / "store")
    summary = build_features(Source(DATA / "rows.tsv"), tmp_path / "store", FakeEncoder(), name="words")
    assert (summary.encoded, summary.cached) == (0, len(TEXTS))
