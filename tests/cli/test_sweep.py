"""Sweeps and paths of regularisation through train-head."""

import json

import pyarrow.parquet as pq


def test_lbfgs_walks_a_path(enc, build, reviews, tmp_path, scored):
    store = build()
    options = ("train-head", reviews, "--valid", reviews, *store, "--output", tmp_path / "head")
    result = enc(*options, "--solver", "lbfgs", "--l2", "1,0.01")
    lines = result.stdout.splitlines()
    assert lines[2].startswith("l2 1 ")
    assert lines[3].startswith("l2 0.01 ")
    assert "kept l2 0.01" in lines
    assert len(scored(store, tmp_path / "head")) == 60
    assert "numbers, such as 1,0.1" in enc(*options, "--solver", "lbfgs", "--l2", "strong", code=2).stderr
    assert "--l2 is for --solver lbfgs" in enc(*options, "--l2", "1", code=2).stderr


def test_lbfgs_chooses_layers(enc, build, reviews, tmp_path):
    options = ("train-head", reviews, "--valid", reviews, *build("--layers", "1-2"), "--solver", "lbfgs")
    options = (*options, "--output", tmp_path / "head", "--l2", "1,0.01", "--metric", "loss")
    lines = enc(*options, "--sweep", "use=layers=1,layers=2").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split() == ["use", "l2", "loss", "runs"])
    rows = [line.split() for line in lines[at + 1 : at + 5]]
    assert sorted(row[:2] for row in rows) == [
        [f"layers={layer}", l2] for layer in (1, 2) for l2 in ("0.01", "1")
    ]
    saved = json.loads((tmp_path / "head" / "head.json").read_text())
    assert saved["features"]["spec"]["layers"] == [int(rows[0][0].removeprefix("layers="))]
    assert f"{saved['record']['l2']:g}" == rows[0][1]
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 4
    error = enc(*options, "--sweep", "lr=0.1", code=2).stderr
    assert "'learning_rate' cannot be swept with --solver lbfgs" in error
    error = enc(*options, "--sweep", "use=layers=1", "--use", "layers=1", code=2).stderr
    assert "by --use or by --sweep use=…, not by both" in error


def test_a_path_is_cross_validated(enc, build, reviews, tmp_path):
    options = (
        "train-head",
        reviews,
        *build(),
        "--output",
        tmp_path / "head",
        "--solver",
        "lbfgs",
        "--folds",
        3,
    )
    lines = enc(*options, "--l2", "1,0.01,10").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split() == ["l2", "accuracy", "runs"])
    best = lines[at + 1].split()[0]
    assert {line.split()[0] for line in lines[at + 1 : at + 4]} == {"1", "0.01", "10"}
    assert f"kept l2 {best}; figures of the setting on 3 held-out folds" in lines
    assert any(line.split()[:2] == ["held", "out"] for line in lines)
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 9
    assert pq.read_table(tmp_path / "head" / "out_of_fold.parquet").num_rows == 60
    assert "give validation rows one way" in enc(*options, "--valid", reviews, code=2).stderr


def test_of_many_settings_the_best_are_shown(enc, build, reviews, tmp_path):
    head = tmp_path / "head"
    options = ("train-head", reviews, "--valid", reviews, *build("--layers", "1-2"), "--output", head)
    options = (*options, "--solver", "lbfgs", "--sweep", "use=layers=1,layers=2", "--l2")

    def rows_and_end(result):
        lines = result.stdout.splitlines()
        at = next(i for i, line in enumerate(lines) if line.split() == ["use", "l2", "accuracy", "runs"])
        rows = [line for line in lines[at + 1 :] if line.startswith("layers=")]
        return rows, lines[at + 1 + len(rows)]

    rows, end = rows_and_end(enc(*options, ",".join(f"{2**-i}" for i in range(6))))
    assert len(rows) == 12
    assert not any("±" in row for row in rows)  # of one run each
    assert end.startswith("kept ")
    rows, end = rows_and_end(enc(*options, ",".join(f"{2**-i}" for i in range(7))))
    assert len(rows) == 10
    assert end == f"… and 4 more settings; '{head}/sweep.parquet' has the figures of all runs"
    assert pq.read_table(head / "sweep.parquet").num_rows == 14
    assert len(json.loads(enc(*options, "1,0.5,0.2,0.1,0.01,0.02,0.03", "--json").stdout)["sweep"]) == 14


def test_a_sweep_prints_its_table_and_keeps_the_best(enc, build, reviews, tmp_path, scored):
    store = build("--layers", "1-2")
    options = ("train-head", reviews, *store, "--output", tmp_path / "head", "--epochs", 2)
    result = enc(
        *options,
        "--valid",
        reviews,
        "--sweep",
        "lr=0.001,0.1",
        "--sweep",
        "use=layers=1,layers=2",
        "--seeds",
        2,
    )
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("learning_rate  use"))
    means = [float(line.split()[2]) for line in lines[at + 1 : at + 5]]
    assert means == sorted(means, reverse=True)
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 8
    assert len(scored(store, tmp_path / "head")) == 60
    folded = json.loads(enc(*options, "--folds", 3, "--seeds", 2, "--ensemble", "--json").stdout)
    assert (folded["watched"], folded["sweep"][0]["runs"], folded["sweep"][0]["diverged"]) == (
        "accuracy",
        6,
        0,
    )
    assert pq.read_table(tmp_path / "head" / "out_of_fold.parquet").num_rows == 60
    assert len(scored(store, tmp_path / "head")) == 60
    assert "--l2 is for --solver lbfgs" in enc(*options, "--folds", 3, "--l2", "1", code=2).stderr
    assert "pass --seeds" in enc(*options, "--valid", reviews, "--ensemble", code=2).stderr


def test_a_sweep_tells_of_what_diverged_and_whose_the_figures_are(enc, build, reviews, tmp_path):
    options = (
        "train-head",
        reviews,
        *build(),
        "--output",
        tmp_path / "head",
        "--epochs",
        2,
        "--optimizer",
        "sgd",
        "--folds",
        3,
    )
    lines = enc(*options, "--sweep", "lr=1e38,0.001", "--seeds", 2).stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("learning_rate"))
    assert lines[at + 2].split(maxsplit=2) == ["1e+38", "undefined", "6, 6 diverged"]
    assert "6 of 12 runs diverged: their loss is no number; a lower learning rate may help them" in lines
    assert "kept epoch 2; figures of the setting on 3 held-out folds, means of 2 seeds" in lines
    lines = enc(*options, "--seeds", 2, "--ensemble").stdout.splitlines()
    assert "kept epoch 2; figures of the ensemble of 2 seeds on 3 held-out folds" in lines
    error = enc(*options, "--sweep", "lr=1e38,1e37", code=2).stderr
    assert "no setting is left: their loss is no number; sweep learning rates below 1e+37" in error
