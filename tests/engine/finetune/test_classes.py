"""Labels as class numbers."""

import pytest
from enc.engine.finetune.glue import GLUE
from enc.store import LabelError, SourceError
from glue_files import FORMATS, write_task


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


def test_a_model_keeps_its_order_of_the_same_labels(read, tmp_path):
    write_task(tmp_path, "mnli")
    data, _ = read(
        task_name="mnli", data_dir=str(tmp_path), model_labels=("contradiction", "entailment", "neutral")
    )
    assert data.classes.names == ("contradiction", "entailment", "neutral")
    assert data.classes.labels.values == data.classes.names
    assert data.sets["train"].targets.tolist() == [2, 0]
    data, _ = read(task_name="mnli", data_dir=str(tmp_path), model_labels=("yes", "no"))
    assert data.classes.names == GLUE["mnli"].labels


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


def test_classes_that_nobody_names(read, write):
    dev = write("d.tsv", "text\tlabel\na\tx\nb\ty\n")
    with pytest.raises(
        LabelError, match=r"the model does not name its classes.*; pass --task_name, or --do_train"
    ):
        read(("validation",), validation_file=str(dev))
    data, _ = read(("validation",), model_labels=("y", "x"), validation_file=str(dev))
    assert data.sets["validation"].targets.tolist() == [1, 0]
