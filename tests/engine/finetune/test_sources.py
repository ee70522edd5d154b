"""Files and columns of a run's rows."""

import pytest
from enc.engine.finetune.option_fields import DataOptions
from enc.engine.finetune.sources import comes_from_hub, wanted_sets
from enc.store import SourceError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(task_name="squad"),
            "unknown task 'squad'; there are cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli",
        ),
        (
            dict(task_name="mnli", data_dir="{folder}"),
            r"task mnli needs train.tsv, which is neither in '.*' \(it has: dev.tsv",
        ),
        (
            dict(task_name="rte", data_dir="{folder}/no"),
            "no folder '.*'; --data_dir is the folder with rte's files",
        ),
        (dict(), "which data. pass --data_dir .* --train_file"),
        (dict(validation_file="x.tsv"), "no train rows: pass --train_file"),
    ],
)
def test_data_that_is_not_there(read, tmp_path, options, message):
    (tmp_path / "dev.tsv").touch()
    with pytest.raises(SourceError, match=message):
        read(**{name: value.format(folder=tmp_path) for name, value in options.items()})


@pytest.mark.parametrize(
    ("columns", "rows", "options", "expected"),
    [
        ("sentence\tlabel", "a\tgood\nb\tbad\n", dict(), (("bad", "good"), [1, 0], "sentence", None)),
        ("id\ttext\tlabel", "1\ta\t7\n2\tb\t3\n", dict(), (("3", "7"), [1, 0], "text", None)),
        (
            "premise\thypothesis\tlabel",
            "a\tb\tx\nb\tc\ty\n",
            dict(),
            (("x", "y"), [0, 1], "premise", "hypothesis"),
        ),
        ("title\tbody\tlabel", "a\tb\tx\nb\tc\ty\n", dict(), (("x", "y"), [0, 1], "title", "body")),
        (
            "a\tb\tc",
            "1\tq\tx\n2\tr\ty\n",
            dict(text_column="b", label_column="c"),
            (("x", "y"), [0, 1], "b", None),
        ),
        ("sentence\tlabel", "a\t0.5\nb\t2\n", dict(), ((), [0.5, 2.0], "sentence", None)),
    ],
)
def test_files_of_ones_own(read, tmp_path, columns, rows, options, expected):
    (tmp_path / "train.tsv").write_text(f"{columns}\n{rows}")
    names, targets, text, pair = expected
    data, _ = read(train_file=str(tmp_path / "train.tsv"), **options)
    assert (data.classes.names, data.text_column, data.pair_column) == (names, text, pair)
    assert data.sets["train"].targets.tolist() == pytest.approx(targets)


def test_a_data_set_in_the_hubs_form(read, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is an extra for tests")
    features = datasets.Features(
        {
            "sentence1": datasets.Value("string"),
            "sentence2": datasets.Value("string"),
            "label": datasets.Value("int64"),
        }
    )
    rows = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1, 0]}
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "hub" / "train.parquet")
    data, _ = read(task_name="rte", dataset_name=str(tmp_path / "hub"))
    assert data.sets["train"].targets.tolist() == [1, 0]
    assert data.pair_column == "sentence2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(pair_column="b"),
            "--pair_column alone does not say which column comes first; pass --text_column",
        ),
        (dict(text_column="a", pair_column="a"), "--text_column and --pair_column both name 'a'"),
        (dict(text_column="z"), r"has no column 'z' \(it has: a, b, label\); pass --text_column"),
        (dict(text_column="a", pair_column="z"), r"has no column 'z' .*; pass --pair_column"),
        (dict(text_column="a", label_column="z"), r"has no column 'z' .*; pass --label_column"),
    ],
)
def test_columns_that_cannot_be(read, write, options, message):
    path = write("t.tsv", "a\tb\tlabel\nx\ty\t0\ny\tx\t1\n")
    with pytest.raises(SourceError, match=message):
        read(train_file=str(path), **options)


def test_what_a_run_needs():
    assert wanted_sets(train=True, evaluate=False, predict=True) == ["train", "test"]
    with pytest.raises(SourceError, match="nothing to do: pass --do_train, --do_eval or --do_predict"):
        wanted_sets(train=False, evaluate=False, predict=False)
    assert comes_from_hub(DataOptions(task_name="rte"))
    assert comes_from_hub(DataOptions(dataset_name="x"))
    assert not comes_from_hub(DataOptions(task_name="rte", data_dir="x"))
    assert not comes_from_hub(DataOptions(train_file="x"))
