import hashlib

import pytest
from enc.store.snippets import snippets
from fakes import FakeEncoder
from feature_sets import filled


@pytest.mark.parametrize("tool", ["DuckDB", "Polars"])
def test_other_tools_read_a_feature_set(tmp_path, capsys, tool):
    table = filled(tmp_path / "it's a set", range(10), range(5, 20))
    names: dict = {}
    exec(snippets(table)[tool], names)
    found = dict(zip((int.from_bytes(key) for key in names["keys"]), names["vectors"], strict=True))
    assert {key: vector.tolist() for key, vector in found.items()} == {n: [n] * 4 for n in range(20)}
    assert names["text"] == hashlib.sha256(b"ta text of yours").digest()
    assert capsys.readouterr().out == "20 False\n"


@pytest.mark.parametrize("tool", ["DuckDB", "Polars"])
def test_the_key_of_a_text_is_that_of_the_program(tmp_path, write, capsys, tool):
    from enc.engine import build_features
    from enc.store import FeatureTable, Source

    source = Source(write("texts.tsv", "text\na text of yours\n"))
    build_features(source, tmp_path / "store", FakeEncoder(pooling=("tokens",)), name="set")
    names: dict = {}
    exec(snippets(FeatureTable(tmp_path / "store" / "set"))[tool], names)
    assert capsys.readouterr().out == "1 True\n"
    assert names["vectors"][0].shape[1] == 4


def test_spark_is_told_the_place(tmp_path):
    table = filled(tmp_path / "set", range(3), dtype="float16")
    assert f"load('{tmp_path / 'set'}')" in snippets(table)["Spark"]
    assert "'<f2'" in snippets(table)["Spark"]
