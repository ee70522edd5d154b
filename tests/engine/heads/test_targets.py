import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine.heads.labels import Labels
from enc.engine.heads.targets import detect_task, labels_of, read_targets
from enc.store import FeatureTable, LabelError, Source, SourceError
from enc.store.duck import workspace
from enc.store.lookup import look_up
from enc.store.stage import stage_source
from fakes import FakeEncoder, fake_spec


@pytest.fixture
def stage_of(tmp_path):
    """Stage rows t0, t1, … with one or several label columns, from Parquet or as text from TSV."""
    with workspace() as con:
        numbers = iter(range(100))

        def stage_of(*columns, tsv=False, types=None):
            number, names = next(numbers), [f"l{i}" for i in range(len(columns))]
            path = tmp_path / f"{number}.{'tsv' if tsv else 'parquet'}"
            texts = [f"t{i}" for i in range(len(columns[0]))]
            if tsv:
                rows = zip(texts, *columns, strict=True)
                path.write_text(
                    "\n".join("\t".join(map(str, row)) for row in [("text", *names), *rows]) + "\n"
                )
            else:
                pq.write_table(
                    pa.table({"text": texts} | dict(zip(names, map(pa.array, columns), strict=True))), path
                )
            return stage_source(con, Source(path), f"s{number}", label_column=names)

        yield stage_of


@pytest.fixture
def shards(tmp_path):
    """Features of t0 to t9."""
    table = FeatureTable.create(tmp_path / "set", fake_spec())
    from enc.engine import build_features

    path = tmp_path / "texts.tsv"
    path.write_text("text\n" + "".join(f"t{i}\n" for i in range(10)))
    build_features(Source(path), tmp_path, FakeEncoder(), name="set")
    return table.refresh().shards


def targets_of(stage, shards, asked=None, labels=None):
    task = detect_task(stage, asked)
    labels = labels or labels_of(stage, task)
    locations, targets = read_targets(
        stage, look_up(stage, shards).locations, task, labels, stage.rows_where("true")
    )
    assert locations.dtype == np.int64
    assert len(locations) == len(targets)
    return task.name, labels.values, targets


def test_one_label(stage_of, shards):
    name, values, targets = targets_of(stage_of(["b", None, "a", "b"]), shards)
    assert (name, values) == ("single-label", ("a", "b"))
    assert (targets.dtype, targets.tolist()) == (np.int16, [1, 0, 1])


LISTS = [["b", "a"], [], None, ["a", None], ["c, \"quoted' [x]", "a"]]
FLAGS = [[1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_lists_of_labels(stage_of, shards):
    name, values, targets = targets_of(stage_of(LISTS), shards)
    assert (name, values) == ("multi-label", ("a", "b", "c, \"quoted' [x]"))
    assert (targets.dtype, targets.tolist()) == (np.float32, FLAGS)


def test_lists_of_labels_as_json_text(stage_of, shards):
    stage = stage_of([json.dumps(row) if row is not None else "" for row in LISTS], tsv=True)
    assert targets_of(stage, shards, "multi-label")[2].tolist() == FLAGS
    with pytest.raises(LabelError, match=r"holds lists such as \[\"a\", null\]; pass --task multi-label"):
        detect_task(stage)


def test_lists_of_integers_keep_their_type(stage_of, shards):
    assert targets_of(stage_of([[10, 9], [9], []]), shards)[1:][0] == (9, 10)
    assert targets_of(stage_of(["[10, 9]", "[9]"], tsv=True), shards, "multi-label")[1] == (9, 10)


def test_columns_of_flags(stage_of, shards):
    for values, options in (
        (([1, 0, None], [0, 0, 1]), {}),
        (([True, False, None], [False, False, True]), {}),
        (([1.0, 0.0, None], [0.0, 0.0, 1.0]), {}),
        (((1, 0, ""), (0, 0, 1)), dict(tsv=True)),
    ):
        name, labels, targets = targets_of(stage_of(*values, **options), shards)
        assert (name, labels) == ("multi-label", ("l0", "l1"))
        assert targets.tolist() == [[1, 0], [0, 0]]  # a row with an unknown flag is left out


def test_numbers(stage_of, shards):
    stage = stage_of(["2.5", "", "-1e3", "4"], tsv=True)
    with pytest.raises(
        LabelError, match=r"holds fractions such as 2\.5; pass --task regression, or --task single-label"
    ):
        detect_task(stage)
    name, values, targets = targets_of(stage, shards, "regression")
    assert (name, values, targets.dtype, targets.tolist()) == ("regression", (), np.float32, [2.5, -1000, 4])
    assert targets_of(stage, shards, "single-label")[1] == ("-1e3", "2.5", "4")


def test_an_empty_split_is_no_error_of_its_own(stage_of, shards):
    for stage, asked in (
        (stage_of([["a"], ["b"]]), None),
        (stage_of([1, 0], [0, 1]), None),
        (stage_of([1.0, 2.5]), "regression"),
    ):
        task = detect_task(stage, asked)
        labels = labels_of(stage, task)
        _, targets = read_targets(
            stage, look_up(stage, shards).locations, task, labels, stage.rows_where("false")
        )
        assert targets.shape == ((0, 2) if task.has_classes else (0,))


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        (
            [[["a"], ["b"]]],
            "single-label",
            "a single-label task has one label a row, but column 'l0' holds lists",
        ),
        (
            [[1, 0], [0, 1]],
            "regression",
            "a regression task has one label a row, but several label columns were given",
        ),
    ],
)
def test_columns_that_cannot_serve_the_task(stage_of, columns, asked, message):
    with pytest.raises(SourceError, match=message):
        detect_task(stage_of(*columns), asked)


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        ([["1", "two", "3"]], "regression", r"label 'two' in .*parquet, row 2 \(1 in all\) is no number"),
        ([[1.0, float("inf")]], "regression", r"label 'inf' in .*row 2 .* is no number"),
        ([["1", "1e300"]], "regression", r"label '1e300' in .*row 2 .* is no number"),
        (
            [['["a"]', "a;b"]],
            "multi-label",
            r"label 'a;b' in .*row 2 .* is no list of labels; write one as \[\"a\", \"b\"\]",
        ),
        (
            [[0, 2, 2], [1, 0, 0]],
            None,
            r"column 'l0' has '2' in .*parquet, row 2 \(2 in all\); a label's column holds 0 and 1",
        ),
        ([[["a"], ["a"]]], None, "the lists of .* have 1 distinct label; training needs at least two"),
        ([[[], []]], None, "no distinct label"),
    ],
)
def test_labels_that_cannot_be_read(stage_of, shards, columns, asked, message):
    with pytest.raises(LabelError, match=message):
        targets_of(stage_of(*columns), shards, asked)


def test_an_unknown_label_in_a_list_is_named_with_its_row(stage_of, shards):
    with pytest.raises(
        LabelError, match=r"unknown label 'z' in .*parquet, row 2 \(1 in all\); the head's labels are: a, b"
    ):
        targets_of(stage_of([["a"], ["b", "z"]]), shards, labels=Labels(("a", "b")))
