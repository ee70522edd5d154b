"""`enc import-features`: vectors of an array or a Parquet file, and what the other commands do with them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

VECTORS = np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32)


@pytest.fixture
def imported(enc, reviews, tmp_path):
    """The options of a store that has vectors of the reviews."""
    np.save(tmp_path / "v.npy", VECTORS)
    store = ("--store", tmp_path / "store", "--features", "made")
    enc("import-features", tmp_path / "v.npy", "--texts", reviews, "--model", "elsewhere", *store)
    return store


def test_from_vectors_to_scores_and_back(enc, imported, reviews, tmp_path):
    head, scored, out = tmp_path / "head", tmp_path / "scored.parquet", tmp_path / "out.parquet"
    enc("train-head", reviews, "--valid-fraction", 0.2, *imported, "--output", head, "--solver", "lbfgs")
    enc("score", reviews, scored, "--head", head, *imported[:2])
    assert pq.read_table(scored).column("prediction").null_count == 0
    enc("features", reviews, out, *imported)
    found = pq.read_table(out).column("features").combine_chunks().flatten().to_numpy().reshape(-1, 5)
    np.testing.assert_array_equal(found, VECTORS)
    summary = json.loads(
        enc(
            "import-features", out, "--model", "elsewhere", *imported, "--json"
        ).stdout  # what came out goes in
    )
    assert (summary["rows"], summary["known"], summary["imported"]) == (60, 60, 0)
    assert "elsewhere" in enc("store", "ls", tmp_path / "store").stdout
    assert "sound" in enc("store", "verify", tmp_path / "store").stdout


def test_the_summary(enc, reviews, tmp_path):
    rows = pq.read_table(reviews).append_column("vector", pa.array(VECTORS.astype(np.float16).tolist()))
    pq.write_table(rows, tmp_path / "all.parquet")
    named = ("--model", "org/some-model", "--pooling", "mean", "--max-length", 512, "--prefix", "passage: ")
    stored = ("--store", tmp_path / "store", "--dtype", "float16", "--vector-column", "vector")
    result = enc("import-features", tmp_path / "all.parquet", *named, *stored)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.stdout.startswith("feature set 'some-model' in")
    assert ["imported", "60", "of", "5", "float16,", "made", "by", "'org/some-model'"] in lines
    shown = enc("store", "show", tmp_path / "store").stdout
    assert "passage:" in shown
    assert "512" in shown


def test_what_no_encoder_can_add(enc, imported, write, tmp_path, reviews):
    new = write("new.tsv", "text\tlabel\nbrand new\tx\n")
    said = enc("build-features", new, *imported[:2], "--name", "made", code=2).stderr
    assert "vectors that 'elsewhere' made outside enc" in said
    said = enc("build-features", new, *imported[:2], "--name", "made", "--model", "minilm", code=2).stderr
    assert "cannot be encoded" in said
    enc("train-head", reviews, "--valid-fraction", 0.2, *imported, "--output", tmp_path / "head")
    score = ("score", new, tmp_path / "o.parquet", "--head", tmp_path / "head")
    assert "in feature set 'made' (the first is in row 1 of" in enc(*score, *imported[:2], code=2).stderr
    assert "name the --store" in enc(*score, code=2).stderr
    assert "cannot be encoded" in enc("predict", "--head", tmp_path / "head", "new", code=2).stderr
    assert "(the first is in row 1 of" in enc("features", new, tmp_path / "o.npy", *imported, code=2).stderr
    assert "has no vectors" in enc("features", new, tmp_path / "o.npy", *imported, "--build", code=2).stderr


def test_bad_input(enc, imported, reviews, write, tmp_path):
    options = ("--model", "elsewhere", *imported)
    assert "pass --texts" in enc("import-features", tmp_path / "v.npy", *options, code=2).stderr
    np.save(tmp_path / "v.npy", VECTORS[:-1])
    texts = ("--texts", reviews, *options)
    assert "row 60 of" in enc("import-features", tmp_path / "v.npy", *texts, code=2).stderr
    said = enc("import-features", write("a.tsv", "text\nx\n"), *texts, code=2).stderr
    assert "no .npy or .parquet file" in said
    assert "no file" in enc("import-features", tmp_path / "none.npy", *texts, code=2).stderr
