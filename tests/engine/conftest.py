import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features
from enc.store import FeatureTable, Source, Store
from fakes import TEXTS, WORDS, FakeEncoder


@pytest.fixture
def labelled(tmp_path):
    """A Parquet file with labels for every task, and a function that encodes it and opens the features."""
    columns = {
        "text": TEXTS,
        "long": [w > 3 for w in WORDS],
        "longest": [w > 5 for w in WORDS],
        "has_long_word": [max(map(len, text.split())) > 4 for text in TEXTS],
        "tags": pa.array([["long"] * (w > 3) + ["odd"] * (w > 5) for w in WORDS]),
        "words": [10.0 * w + 0.5 for w in WORDS],
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    source = Source(tmp_path / "data.parquet")

    def encoded(**changes) -> FeatureTable:
        name = "-".join(map(str, changes.get("pooling", ("mean",))))
        build_features(source, tmp_path / "store", FakeEncoder(**changes), name=name)
        return Store(tmp_path / "store").open(name)

    return source, encoded


@pytest.fixture
def source(tmp_path):
    """Texts with two classes, a number and two flags, some of them twice."""
    rows = [
        f"{'good ' * (1 + i % 4)}{'x' * (i % 7)} "
        f"{i}\t{'ab'[i % 4 > 1]}\t{i % 4 + i % 3 / 4}\t{i % 7 // 4}\t{i % 4 // 3}"
        for i in range(120)
    ]
    (tmp_path / "t.tsv").write_text(
        "text\tlabel\tstars\tletters\twords\n" + "\n".join([*rows, *rows[:9]]) + "\n"
    )
    return Source(tmp_path / "t.tsv")


@pytest.fixture
def table(source, tmp_path):
    build_features(source, tmp_path / "store", FakeEncoder())
    return Store(tmp_path / "store").open()


@pytest.fixture
def local_module(tmp_path, monkeypatch):
    """Write a module where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, code):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return path

    return write
