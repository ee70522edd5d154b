import numpy as np
import pyarrow.parquet as pq
from enc.benchmarks.bench_features import _copy, _copy_shards, _join, _shuffle
from enc.benchmarks.bench_score import write_known
from enc.store import FeatureTable, Store


def test_bench_features(bench):
    by_name, saved, printed = bench("features", "--rows", 300)
    assert printed.startswith("# features")
    assert saved["settings"]["rows"] == 300
    assert saved["baseline"] in by_name
    assert len(by_name) == 7
    assert not any(measured["problem"] for measured in by_name.values())


def test_all_contenders_write_what_they_should(tmp_path):
    """The copies have every row; the join has the rows of the file, each with the features that enc finds."""
    write_known(tmp_path, 200)
    path = tmp_path / "rows.parquet"
    before = pq.read_table(path)["id"].to_pylist()
    _shuffle(path)
    rows = pq.read_table(path)
    assert sorted(rows["id"].to_pylist()) == before
    assert rows["id"].to_pylist() != before
    shards = FeatureTable(tmp_path / "store" / "random").shards
    copied = pq.read_table(_copy_shards(shards, tmp_path / "shards.parquet"))
    assert copied["features"].to_pylist() == [
        value for shard in shards for value in pq.read_table(shard)["features"].to_pylist()
    ]
    joined = pq.read_table(_join(tmp_path, shards))
    assert joined["id"].to_pylist() == rows["id"].to_pylist()
    features = np.frombuffer(b"".join(joined["features"].to_pylist()), np.float16).reshape(200, -1)
    np.testing.assert_array_equal(features, np.asarray(Store(tmp_path / "store").features(path)))
    assert pq.read_table(_copy(path, tmp_path / "copy.parquet")).equals(rows)
