import numpy as np
import pytest
from enc.benchmarks.bench_token_rows import LONGEST, lengths_of


@pytest.mark.parametrize("options", [["--rows", 200], ["--rows", 100, "--tokens"]])
def test_bench_batches(bench, options):
    by_name, saved, _ = bench("batches", *options, "--batch-size", 16)
    loader = "torch DataLoader over a mapped npy file"
    for name in ("enc ram", "enc mapped", "enc streamed", saved["baseline"], loader):
        assert by_name[name]["median"] > 0, by_name[name]["problem"]


def test_rows_without_padding_beside_padded_ones(bench):
    by_name, saved, _ = bench("batches", "--mean-tokens", 9, "--rows", 120, "--batch-size", 16)
    for name in ("enc ram", "enc mapped", "enc streamed", "enc ram, stored with padding", saved["baseline"]):
        assert by_name[name]["median"] > 0, by_name[name]["problem"]
        assert by_name[name]["remarks"]["tokens/s"]
    assert not any(measured["problem"] for measured in by_name.values())


def test_lengths_have_the_mean_that_was_asked_for():
    for mean in (13, 73):
        lengths = lengths_of(5000, mean)
        assert abs(lengths.mean() - mean) < 0.1
        assert (lengths.min(), lengths.max()) >= (3, 40)
        assert lengths.max() <= LONGEST
    assert np.mean(lengths_of(5000, 73) == LONGEST) > 0.1
