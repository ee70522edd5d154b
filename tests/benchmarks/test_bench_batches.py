import pytest


@pytest.mark.parametrize("options", [["--rows", 200], ["--rows", 100, "--tokens"]])
def test_bench_batches(bench, options):
    by_name, saved, _ = bench("batches", *options, "--batch-size", 16)
    loader = "torch DataLoader over a mapped npy file"
    for name in ("enc ram", "enc mapped", "enc streamed", saved["baseline"], loader):
        assert by_name[name]["median"] > 0, by_name[name]["problem"]
