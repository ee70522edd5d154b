"""Commands whose store is in an object store: the same as in a folder, and nothing is left here."""

import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.engine import Head
from enc.engine.estimators.text_features import TextFeatures
from enc.store import Store

STORE = "s3://bucket/store"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, objects):
    """A current folder in which no folder 's3:' may appear."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert os.listdir() == []


def test_a_head_is_searched_for(enc, reviews, tiny_bert, tmp_path):
    told = enc(
        "train-head", reviews, "--auto", "--minutes", 5, "--model", tiny_bert, "--max-length", 16,
        "--folds", 3, "--store", STORE, "--output", tmp_path / "head",
    )  # fmt: skip
    assert "that are free" not in told.output + told.stderr  # of an object store nobody knows
    head = Head.load(tmp_path / "head")
    assert Store(STORE).open(head.feature_set).rows == 60
    enc("score", reviews, tmp_path / "out.parquet", "--head", tmp_path / "head", "--store", STORE)
    assert pq.read_table(tmp_path / "out.parquet").column("prediction").null_count == 0


def test_vectors_are_taken_in_and_used(enc, reviews, tmp_path):
    vectors = np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    imported = ("--model", "elsewhere", "--store", STORE, "--features", "made")
    enc("import-features", tmp_path / "v.npy", "--texts", reviews, *imported)
    again = enc("import-features", tmp_path / "v.npy", "--texts", reviews, *imported, "--json")
    assert '"imported": 0' in again.stdout
    features = TextFeatures(STORE, features="made").fit(["a"])
    texts = pq.read_table(reviews).column("text").to_pylist()
    np.testing.assert_array_equal(features.transform(texts), vectors)
    enc(
        "train-head", reviews, "--valid-fraction", 0.2, *imported[2:], "--output", tmp_path / "head",
        "--solver", "lbfgs",
    )  # fmt: skip
    enc("score", reviews, tmp_path / "out.parquet", "--head", tmp_path / "head", "--store", STORE)
    assert pq.read_table(tmp_path / "out.parquet").column("prediction").null_count == 0
    vectors[7, 0] += 1
    np.save(tmp_path / "v.npy", vectors)
    said = enc("import-features", tmp_path / "v.npy", "--texts", reviews, *imported, code=2).stderr
    assert said.count("\n") == 1
