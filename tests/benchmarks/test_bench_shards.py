import pytest
from enc.benchmarks import bench_shards
from enc.benchmarks.bench_scale import ScaleError, write_rows
from enc.benchmarks.bench_shards import do_step, sort_store, write_store
from enc.store import Store


def test_the_steps_find_what_is_stored(tmp_path, monkeypatch):
    write_rows(tmp_path / "rows.parquet", 2000)
    write_rows(tmp_path / "few.parquet", 5)
    store = tmp_path / "store"
    write_store(tmp_path / "rows.parquet", 2000, store, 40)
    assert len(Store(store).open("free").logged) == 40
    assert Store(store).open("free").rows == 2000
    for step in bench_shards.STEPS:
        monkeypatch.setattr("enc.store.shard_keys._VERIFIED", set())  # as in a process of its own
        found = do_step(step, tmp_path, store)
        assert found["opened"] == (0 if step == "open" else 40)
        assert found["megabytes"] > 0
    monkeypatch.setattr(bench_shards, "SORTED_SHARDS", 4)
    assert sort_store(store) <= 6


def test_bench_scale_of_shards(bench, monkeypatch):
    monkeypatch.setattr(bench_shards, "SORTED_SHARDS", 2)
    by_name, saved, _ = bench("scale", "--shards", 1, "--shards", 20, "--rows", 1000)
    assert saved["benchmark"] == "shards"
    assert by_name["20 shards, all texts found"]["remarks"]["shards opened"] == 20
    assert by_name["20 shards, sorted by key"]["remarks"]["shards after"] <= 3
    assert "20 shards sorted by key, 10 texts found" in by_name


def test_workers_that_leave_texts_out_are_an_error():
    class Summary:
        encoded = 5

    with pytest.raises(ScaleError, match="5 texts were encoded"):
        bench_shards._took(bench_shards.Measurement("two", "s"), 0.0, Summary(), 6, print)
