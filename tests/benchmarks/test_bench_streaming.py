from enc.benchmarks.bench_streaming import measure
from enc.benchmarks.random_features import write_features


def test_two_epochs_of_a_small_feature_set(tmp_path):
    write_features(tmp_path / "features", tokens=False, rows=500)
    measured = measure(tmp_path / "features")
    assert measured["rows"] == 500
    assert measured["private_mb_peak"] >= measured["private_mb_before"] > 0
    assert measured["rows_per_second"] > 0
