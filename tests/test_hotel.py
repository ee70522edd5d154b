"""The main job on real Chinese reviews, where the optional data is at hand."""

import json

import duckdb
import pytest
from click.testing import CliRunner
from enc.cli.main import main


def enc(*arguments) -> dict:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def store(shared, tmp_path_factory):
    store, data = tmp_path_factory.mktemp("hotel") / "features", shared / "data" / "hotel"
    model = ("--model", shared / "models" / "e5-small-zh", "--max-length", 128)
    first = enc("build-features", data / "train.tsv", data / "dev.tsv", "--store", store, *model)
    assert (first["rows"], first["encoded"], first["rejected"]) == (3960, 3960, 0)
    again = enc("build-features", data / "train.tsv", data / "dev.tsv", "--store", store, *model)
    assert (again["encoded"], again["cached"], again["version"]) == (0, 3960, first["version"])
    return store


def test_ten_new_rows_are_encoded(shared, store, tmp_path):
    more = tmp_path / "more.tsv"
    rows = (shared / "data" / "hotel" / "dev.tsv").read_text(encoding="utf-8") + "".join(
        f"新的评论{i}\t1\n" for i in range(10)
    )
    more.write_text(rows, encoding="utf-8")
    summary = enc("build-features", more, "--store", store, "--name", "e5-small-zh-mean-128")
    assert (summary["encoded"], summary["cached"]) == (10, 1000)


def test_head_is_good_and_scores_as_it_was_validated(shared, store, tmp_path):
    data = shared / "data" / "hotel"
    metrics = enc(
        "train-head",
        data / "train.tsv",
        "--valid",
        data / "dev.tsv",
        "--store",
        store,
        "--output",
        tmp_path / "head",
    )
    assert metrics["accuracy"] >= 0.85

    parquet, scored = tmp_path / "dev.parquet", tmp_path / "scored.parquet"
    rows = (
        f"SELECT sentence, label::INT AS label FROM read_csv('{data / 'dev.tsv'}', delim='\t', "
        "quote='', escape='')"
    )
    duckdb.sql(f"COPY ({rows}) TO '{parquet}'")
    summary = enc("score", parquet, scored, "--head", tmp_path / "head", "--store", store)
    assert (summary["scored"], summary["encoded"]) == (1000, 0)
    agreement = duckdb.sql(f"SELECT avg((prediction = label)::INT) FROM '{scored}'").fetchall()[0][0]
    assert agreement == metrics["accuracy"]
