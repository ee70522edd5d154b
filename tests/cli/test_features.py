"""`enc features`, with a tiny random BERT."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest


def test_features_stand_beside_the_columns(enc, build, reviews, tmp_path):
    result = enc("features", reviews, tmp_path / "out.parquet", *build(), "--columns", "label,stars")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["label", "stars", "features"]
    assert (table.num_rows, table.column("features").type.list_size) == (60, 16)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["rows", "read", "60"] in lines
    assert ["with", "features", "60", "of", "16", "float16"] in lines
    enc("features", reviews, tmp_path / "bare.parquet", *build(), "--columns", "")
    assert pq.read_table(tmp_path / "bare.parquet").column_names == ["features"]


def test_an_array_and_json(enc, build, reviews, tmp_path):
    path = tmp_path / "x.npy"
    result = enc("features", reviews, path, *build(), "--dtype", "float32", "--where", "good = 1", "--json")
    summary = json.loads(result.stdout)
    assert summary["outputs"] == [str(path)]
    assert summary["rows_file"] == str(tmp_path / "x.rows.npy")
    assert (summary["rows"], summary["shape"], summary["dtype"]) == (45, [16], "float32")
    assert np.load(path).shape == (45, 16)


def test_rejected_rows_are_told(enc, build, write, tmp_path):
    path = write("t.tsv", "text\tn\ngood\t1\n\t2\nbad\t3\n")
    store = build()
    options = (path, tmp_path / "out.npy", *store, "--build")
    result = enc("features", *options, "--strict", code=3)
    assert "rows without features are left out; the numbers of the others, from 0, are in" in result.stdout
    assert "1 text is null" in result.stdout
    assert np.load(tmp_path / "out.rows.npy").tolist() == [0, 2]
    assert f"rejected rows are in '{tmp_path / 'out.npy.rejects.parquet'}'" in result.stdout
    assert "is there already; pass --overwrite" in enc("features", *options, code=2).stderr


def test_what_is_missing_is_told_or_built(enc, build, reviews, write, tmp_path):
    store = build()
    options = ("features", write("t.tsv", "text\nbrand new\n"), tmp_path / "out.npy", *store)
    assert "1 text of" in enc(*options, code=2).stderr
    assert "add --build" in enc(*options, code=2).stderr
    summary = json.loads(enc(*options, "--build", "--json").stdout)
    assert (summary["encoded"], summary["cached"]) == (1, 0)
    summary = json.loads(enc(*options, "--overwrite", "--json").stdout)
    assert (summary["encoded"], summary["cached"]) == (0, 1)


def test_a_feature_set_is_made_where_there_is_none(enc, reviews, tiny_bert, tmp_path):
    options = ("--store", tmp_path / "store", "--build", "--model", tiny_bert, "--max-length", 16)
    command = ("features", reviews, tmp_path / "out.npz", *options, "--dtype", "float32")
    assert "column 'x' is not in" in enc(*command, "--text-column", "x", code=2).stderr
    assert not (tmp_path / "store").exists()
    summary = json.loads(enc(*command, "--json").stdout)
    assert (summary["encoded"], summary["feature_set"]) == (60, "tiny-bert-mean-16-float32")
    shown = enc("store", "show", tmp_path / "store")
    assert "float32" in shown.stdout
    again = json.loads(enc(*command, "--json", "--overwrite").stdout)
    assert (again["encoded"], again["feature_set"]) == (0, "tiny-bert-mean-16-float32")


def test_the_setting_of_a_feature_set_that_is_there(enc, build, reviews, tiny_bert, tmp_path):
    store = build("--name", "set")
    command = ("features", reviews, tmp_path / "out.npy", *store, "--features", "set")
    enc(*command, "--build", "--model", tiny_bert)
    error = enc(*command, "--build", "--max-length", 8, "--overwrite", code=2).stderr
    assert "max_length: 16, not 8" in error


@pytest.mark.parametrize("option", [("--model", "minilm"), ("--layers", "last"), ("--device", "cpu")])
def test_options_of_encoding_need_build(enc, build, reviews, tmp_path, option):
    error = enc("features", reviews, tmp_path / "out.npy", *build(), *option, code=2).stderr
    assert f"{option[0]} is for encoding; add --build, or leave out {option[0]}" in error
