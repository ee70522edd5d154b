import json

import pytest
from audited import stored, two_classes, written

ROWS = 80


@pytest.fixture
def world(enc, tmp_path):
    """Rows to label; options of a head, and of the store that has their features."""
    labels, features = two_classes(ROWS)
    texts = [f"room {number}" for number in range(ROWS)]
    stored(tmp_path / "store" / "set", texts, features)
    train = written(tmp_path / "train.parquet", text=texts[:40], label=labels[:40])
    store = ["--store", tmp_path / "store"]
    enc(
        "train-head",
        train,
        "--valid-fraction",
        0.3,
        *store,
        "--output",
        tmp_path / "head",
        "--solver",
        "lbfgs",
    )
    pool = written(tmp_path / "pool.parquet", text=texts[30:], label=[None] * 50, day=range(50))
    return [pool, "--head", tmp_path / "head", *store], train


def test_a_sheet_is_written_filled_in_and_trained_on(enc, world, tmp_path):
    (pool, *options), train = world
    sheet = tmp_path / "sheet.tsv"
    done = enc("next", pool, *options, "--count", 6, "--output", sheet, "--columns", "day")
    assert f"6 rows to label: '{sheet}'" in done.stdout
    assert str(train) in done.stdout
    head, *rows = [line.split("\t") for line in sheet.read_text().splitlines()]
    assert head == ["text", "label", "prediction", "score", "margin", "day"]
    assert {row[1] for row in rows} == {""}
    sheet.write_text("\n".join("\t".join(row) for row in [head, *([r[0], r[2], *r[2:]] for r in rows)]))
    options = ["--valid-fraction", 0.3, "--store", tmp_path / "store", "--solver", "lbfgs", "--json"]
    trained = enc("train-head", train, sheet, *options, "--output", tmp_path / "head2")
    found = json.loads(trained.stdout)
    assert found["train_rows"] + found["valid_rows"] == 46


def test_counts_as_json(enc, world, tmp_path):
    options, train = world
    done = enc("next", *options, "--count", 5, "--output", tmp_path / "n.csv", "--labelled", train, "--json")
    found = json.loads(done.stdout)
    assert (found["chosen"], found["labelled"], found["candidates"]) == (5, 10, 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--count", "0", "--output", "n.csv"], "--count must be"),
        (["--count", "2", "--output", "n.xlsx"], "must end with .tsv, .csv, .parquet"),
        (["--count", "2", "--output", "n.csv", "--columns", "x"], "column 'x' is not in"),
        (["--count", "2", "--output", "n.csv", "--labelled", "nowhere.tsv"], "no file 'nowhere.tsv'"),
    ],
)
def test_what_cannot_be_is_one_line(enc, world, options, message):
    done = enc("next", *world[0], *options, code=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
