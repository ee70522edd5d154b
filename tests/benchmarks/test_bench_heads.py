import pytest


def test_bench_heads(bench):
    by_name, _, _ = bench("heads", "--rows", 300, "--token-rows", 100, "--batch-size", 64)
    assert all(measured["median"] > 0 and not measured["problem"] for measured in by_name.values())
    losses = {
        name: float(measured["remarks"]["training loss"])
        for name, measured in by_name.items()
        if "training loss" in measured["remarks"]
    }
    assert losses["enc lbfgs, to convergence"] == pytest.approx(
        losses["scikit-learn LogisticRegression, to convergence"], rel=0.05
    )
    over_pairs = [loss for name, loss in losses.items() if "over pairs" in name]
    assert over_pairs[0] == pytest.approx(over_pairs[1], rel=0.05)


def test_bench_of_the_tutorials_job(bench, tiny_bert, write):
    path = write("t.tsv", "sentence\tlabel\n" + "\n".join(f"good {i}\t{i % 2}" for i in range(40)) + "\n")
    by_name, _, _ = bench("heads", path, "--valid", path, "--model", tiny_bert)
    ours = ["enc, from texts, on a machine new to the model", "enc, from texts", "enc, the next head"]
    assert list(by_name) == ["the tutorial's loop", *ours]
    assert all(measured["median"] > 0 for measured in by_name.values())
