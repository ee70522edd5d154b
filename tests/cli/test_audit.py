import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from audited import stored, two_classes, written
from enc.cli.text import table_in_terminal
from rich.cells import cell_len

ROWS = 120


@pytest.fixture
def data(tmp_path):
    """A file of rows, two of them labelled wrongly, one text twice; and the options of its feature set."""
    labels, features = two_classes(ROWS)
    clear = np.flatnonzero(np.abs(features[:, 0]) > 3)
    labels[clear[:2]] ^= True
    texts = [f"房间{number}\x1b[31m 很好" if number % 2 else f"room {number}" for number in range(ROWS)]
    texts[60], features[60], labels[60] = texts[59], features[59], labels[59]
    stored(tmp_path / "store" / "set", texts, features)
    return written(tmp_path / "rows.parquet", text=texts, label=labels), "--store", tmp_path / "store"


def test_rows_are_listed(enc, data, tmp_path):
    done = enc("audit", *data, "--output", tmp_path / "found.parquet", "--show", "3")
    for line in (
        "label probably wrong",
        "same text as an earlier row",
        "accuracy on 5 held-out folds",
        "same",
    ):
        assert line in done.stdout
    assert "\x1b" not in done.stdout  # a text cannot speak to the terminal
    table = pq.read_table(tmp_path / "found.parquet")
    assert f"{table.num_rows} rows with a reason in" in done.stdout
    assert {"set", "row", "text", "label", "reasons", "suggested"} <= set(table.column_names)


def test_validation_rows_are_looked_at_too(enc, data):
    done = enc("audit", *data, "--valid", data[0], "--no-similar", "--json")
    found = json.loads(done.stdout)
    assert found["counts"]["leak"] == {"train": 0, "valid": ROWS}
    assert found["rows"] == {"train": ROWS, "valid": ROWS}
    assert len(found["worst"]["leak"]) == 20
    assert found["difference"]["judged_on"] == f"the {ROWS} validation rows"


def test_columns_are_aligned_in_any_script():
    lines = [["train 1", "好评", "房间" * 200], ["train 200", "bad", "a short one"]]
    table = table_in_terminal(["row", "label", "text"], lines).splitlines()
    starts = {
        cell_len(line[: line.index(word)]) for line, word in zip(table, ("text", "房", "a sh"), strict=True)
    }
    assert len(starts) == 1
    assert max(map(cell_len, table)) <= 140
    assert table[1].endswith("…")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--similarity", "2"], "--similarity must be a cosine"),
        (["--folds", "1"], "the number of folds"),
        (["--label-column", "stars"], "column 'stars' is not in"),
        (["--features", "other"], "no feature set 'other'"),
        (["--use", "layers=7"], "layer 7"),
        (["--valid", "nowhere.tsv"], "no file 'nowhere.tsv'"),
        (["--output", "."], "is a folder"),
        (["--pairs", "separate"], "--pairs separate is for pairs"),
    ],
)
def test_what_cannot_be_is_one_line(enc, data, options, message):
    done = enc("audit", *data, *options, code=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
