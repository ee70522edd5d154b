"""The table of tasks, their files, and their metrics against scikit-learn and SciPy."""

from contextlib import ExitStack

import numpy as np
import pytest
from enc.engine.encode.tokens import Tokenizer
from enc.engine.finetune.glue import GLUE, glue_metrics, glue_task, legacy_metrics
from enc.engine.finetune.options import DataOptions
from enc.engine.finetune.text_sets import read_sets
from enc.engine.heads.metrics import Predicted
from enc.store import LabelError, SourceError
from enc.store.duck import workspace
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

# As the tasks' files are laid out: header, two rows, their labels, and the text of the first row.
FORMATS = {
    "cola": ("gj04\t1\t\ta dog.\ngj04\t0\t*\tdog a a.\n", [1, 0], "index\tsentence\n0\ta cat\n"),
    "sst2": ("sentence\tlabel\nso good \t1\nso bad \t0\n", [1, 0], "index\tsentence\n0\ta cat\n"),
    "mrpc": (
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\ta "quoted dog\ta dog\n0\t12\t13\ta\tb\n',
        [1, 0],
        "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n",
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tg\tf\t2012\t1\tn\tn\ta\tb\t5.000\n1\tg\tf\t2012\t4\tn\tn\tc\td\t3.8\n",
        [5.0, 3.8],
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\n0\tg\tf\t2\t1\tn\tn\ta\tb\n",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\thow?\twhy?\t0\n4\t5\t6\twhy?\twhy?\t1\n7\t8\n",
        [0, 1],
        "id\tquestion1\tquestion2\n0\ta\tb\n",
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
        "sentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t1\t1e\tg\t(\t(\t(\t(\ta\tb\tneutral\tneutral\n1\t1\t1e\tg\t(\t(\t(\t(\tc\td\tcontradiction\tcontradiction\n",
        [1, 2],
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
        "sentence1\tsentence2\n0\t1\t1e\tg\t(\t(\t(\t(\ta\tb\n",
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n0\tq\ta\tnot_entailment\n1\tq\tb\tentailment\n",
        [1, 0],
        "index\tquestion\tsentence\n0\tq\ta\n",
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tnot_entailment\n1\tc\td\tentailment\n",
        [1, 0],
        "index\tsentence1\tsentence2\n0\ta\tb\n",
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t0\n1\tc\td\t1\n",
        [0, 1],
        "index\tsentence1\tsentence2\n0\ta\tb\n",
    ),
}


@pytest.fixture
def read(tiny_bert, tmp_path):
    """Read sets with the tiny model's tokenizer, each time in a workspace of its own."""
    from enc.engine.encode.checkpoint import checkpoint_of

    tokenizer: Tokenizer = checkpoint_of(str(tiny_bert), max_length=16).tokenizer
    with ExitStack() as opened:

        def read(wanted=("train",), model_labels=(), **options):
            said = []
            sets = read_sets(
                opened.enter_context(workspace()),
                DataOptions(**options),
                wanted,
                tokenizer,
                max_length=16,
                model_labels=model_labels,
                scratch=tmp_path,
                say=said.append,
            )
            return sets, said

        yield read


def write_task(folder, name):
    train, _, test = FORMATS[name]
    task = GLUE[name]
    dev = ("dev_matched", "dev_mismatched") if task.matched else ("dev",)
    tests = ("test_matched", "test_mismatched") if task.matched else ("test",)
    place = folder / task.folder
    place.mkdir(parents=True)
    for split in ("train", *dev):
        (place / f"{split}.tsv").write_text(train, encoding="utf-8")
    for split in tests:
        (place / f"{split}.tsv").write_text(test, encoding="utf-8")
    return place


def test_there_is_a_format_for_each_of_the_nine():
    assert set(FORMATS) == set(GLUE)


@pytest.mark.parametrize("inside", [False, True], ids=["task's folder", "folder of all"])
@pytest.mark.parametrize("name", GLUE)
def test_formats(read, tmp_path, name, inside):
    folder = write_task(tmp_path / "glue", name)
    wanted = ("train", "validation", "test")
    data, _ = read(wanted, task_name=name, data_dir=str(folder if not inside else folder.parent))
    sets = data.sets
    more = ["validation_mm", "test_mm"] if name == "mnli" else []
    assert sorted(sets) == sorted([*wanted, *more])
    assert sets["train"].targets == pytest.approx(FORMATS[name][1])
    assert sets["train"].targets.dtype == (np.float32 if name == "stsb" else np.int64)
    assert len(sets["test"]) == 1
    assert sets["test"].targets is None
    assert bool(data.pair_column) == bool(GLUE[name].pair)
    assert data.classes.names == GLUE[name].labels
    types = sets["train"][0].get("token_type_ids")
    assert bool(types.max()) == bool(GLUE[name].pair)


def test_quotes_are_text_and_short_lines_are_rejects(read, tmp_path, tiny_bert):
    folder = write_task(tmp_path, "mrpc")
    data, _ = read(task_name="MRPC", data_dir=str(folder))
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(tiny_bert)(
        'a "quoted dog', "a dog", truncation=True, max_length=16
    )["input_ids"]
    assert data.sets["train"][0]["input_ids"][0].tolist()[: len(tokens)] == tokens


def test_rows_with_missing_fields_are_rejects(read, tmp_path):
    data, _ = read(task_name="qqp", data_dir=str(write_task(tmp_path, "qqp")))
    assert data.sets["train"].stage.rejected == 1
    assert len(data.sets["train"]) == 2


def test_a_malformed_line_of_a_file_without_header_is_told_by_its_place(read, tmp_path):
    folder = tmp_path / "CoLA"
    folder.mkdir()
    (folder / "train.tsv").write_text("a\t1\t\tone\na\t0\na\t1\t\tthree\n", encoding="utf-8")
    data, _ = read(task_name="cola", data_dir=str(folder))
    assert ", row 2: line 2 is malformed" in data.sets["train"].stage.first_reject()
    assert data.sets["train"].rows.tolist() == [1, 2]  # the numbers of lines that parsed


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
    ("name", "rows", "message"),
    [
        (
            "rte",
            "0\ta\tb\tentailment\n1\tc\td\tmaybe\n",
            r"unknown label 'maybe' in .*train.tsv, row 2 \(1 in all\)",
        ),
        ("wnli", "0\ta\tb\t0\n1\tc\td\t2\n", "unknown label '2' in .*, row 2"),
    ],
)
def test_labels_outside_the_task(read, tmp_path, name, rows, message):
    (tmp_path / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n" + rows)
    with pytest.raises(LabelError, match=message):
        read(task_name=name, data_dir=str(tmp_path))


def test_a_regression_wants_numbers(read, tmp_path):
    text = FORMATS["stsb"][0].replace("5.000", "very")
    (tmp_path / "train.tsv").write_text(text)
    with pytest.raises(
        LabelError, match=r"label 'very' in .*, row 1 .* is no number that a regression can learn"
    ):
        read(task_name="stsb", data_dir=str(tmp_path))


def test_absent_classes_are_warned_of(read, tmp_path):
    header = FORMATS["mnli"][0].splitlines()[0]
    row = "0\t1\t1e\tg\t(\t(\t(\t(\ta\tb\tneutral\tneutral"
    (tmp_path / "train.tsv").write_text(f"{header}\n{row}\n{row.replace('neutral', 'entailment')}\n")
    _, said = read(task_name="mnli", data_dir=str(tmp_path))
    assert said == ["warning: no training row has label contradiction"]
    (tmp_path / "train.tsv").write_text(f"{header}\n{row}\n")
    _, said = read(task_name="mnli", data_dir=str(tmp_path))
    assert said == [
        "warning: all training rows are of one class; nothing can be learned of entailment, contradiction"
    ]


def test_a_model_keeps_its_order_of_the_same_labels(read, tmp_path):
    write_task(tmp_path, "mnli")
    data, _ = read(
        task_name="mnli", data_dir=str(tmp_path), model_labels=("contradiction", "entailment", "neutral")
    )
    assert data.classes.names == ("contradiction", "entailment", "neutral")
    assert data.classes.values.values == data.classes.names
    assert data.sets["train"].targets.tolist() == [2, 0]
    data, _ = read(task_name="mnli", data_dir=str(tmp_path), model_labels=("yes", "no"))
    assert data.classes.names == GLUE["mnli"].labels


TRUTH, GUESS = np.array([0, 1, 1, 1, 0, 1, 0, 1]), np.array([0, 1, 0, 1, 1, 1, 0, 0])
VALUES = np.array([0.1, 0.9, 2.4, 3.0, 4.1, 4.9], np.float32)


def test_metrics_of_classes():
    predicted = Predicted(glue_task("mrpc").task, 2, 0.0, TRUTH, GUESS)
    accuracy, f1 = accuracy_score(TRUTH, GUESS), f1_score(TRUTH, GUESS)
    found = glue_metrics(("accuracy", "f1"), predicted)
    assert found == pytest.approx({"accuracy": accuracy, "f1": f1, "combined_score": (accuracy + f1) / 2})
    assert legacy_metrics(found) == pytest.approx(
        {"acc": accuracy, "f1": f1, "acc_and_f1": (accuracy + f1) / 2}
    )
    assert legacy_metrics(glue_metrics(("matthews_correlation",), predicted)) == pytest.approx(
        {"mcc": matthews_corrcoef(TRUTH, GUESS)}
    )


def test_metrics_of_a_regression():
    task = glue_task("sts-b")
    guess = VALUES[[0, 2, 1, 3, 5, 4]] + 1
    found = legacy_metrics(glue_metrics(task.metrics, Predicted(task.task, 1, 0.0, VALUES, guess)))
    pearson, spearman = pearsonr(VALUES, guess).statistic, spearmanr(VALUES, guess).statistic
    assert found == pytest.approx(
        {"pearson": pearson, "spearmanr": spearman, "corr": (pearson + spearman) / 2}
    )
    constant = glue_metrics(task.metrics, Predicted(task.task, 1, 0.0, VALUES, np.ones_like(VALUES)))
    assert np.isnan(constant["pearson"])
    assert np.isnan(constant["combined_score"])


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


def test_a_label_that_training_never_saw(read, write):
    train, dev = write("t.tsv", "text\tlabel\na\tx\nb\ty\n"), write("d.tsv", "text\tlabel\na\tx\nb\tz\n")
    with pytest.raises(
        LabelError, match=r"unknown label 'z' in .*d.tsv, row 2 \(1 in all\); the classes are: x, y"
    ):
        read(("train", "validation"), train_file=str(train), validation_file=str(dev))
    with pytest.raises(LabelError, match="1 distinct label; training needs at least two"):
        read(train_file=str(write("one.tsv", "text\tlabel\na\tx\nb\tx\n")))
    with pytest.raises(
        SourceError, match=r"has no column 'label' \(it has: text, stars\); pass --label_column"
    ):
        read(train_file=str(write("none.tsv", "text\tstars\na\tx\n")))


def test_a_data_set_in_the_hubs_form(read, tmp_path):
    datasets = pytest.importorskip("datasets")
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


def test_limits_take_the_first_rows(read, write):
    train = write("t.tsv", "text\tlabel\n" + "".join(f"{'abc'[i % 3]}\t{i % 2}\n" for i in range(9)))
    data, _ = read(train_file=str(train), max_train_samples=4)
    assert data.sets["train"].rows.tolist() == [1, 2, 3, 4]
