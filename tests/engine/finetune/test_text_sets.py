"""Rows as they are tokenized: which, in what order, and what is said of them."""

import numpy as np
import pytest
from enc.engine.finetune.glue import GLUE
from glue_files import FORMATS, write_task


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
    assert data.sets["train"].rows.tolist() == [1, 3]


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


def test_limits_take_the_first_rows(read, write):
    train = write("t.tsv", "text\tlabel\n" + "".join(f"{'abc'[i % 3]}\t{i % 2}\n" for i in range(9)))
    data, _ = read(train_file=str(train), max_train_samples=4)
    assert data.sets["train"].rows.tolist() == [1, 2, 3, 4]


def test_a_digest_is_of_all_that_training_sees(read, write):
    def digests(text, **options):
        data, _ = read(train_file=str(write("t.tsv", "text\tlabel\n" + text)), **options)
        rows = data.sets["train"]
        before = rows.digest()
        assert rows.longest_first().digest() == before  # the order of serving is not the file's
        return rows.fingerprint(), before

    rows = "a b\tx\nb\ty\nc\tx\n"
    first = digests(rows)
    assert digests(rows) == first
    moved = digests("b\ty\na b\tx\nc\tx\n")
    assert (moved[0] == first[0], moved[1] == first[1]) == (True, False)
    for other in (rows.replace("c\tx", "c\ty"), rows.replace("c\t", "d\t"), rows + "e\tx\n"):
        assert digests(other)[0] != first[0]
        assert digests(other)[1] != first[1]
    assert digests(rows, max_train_samples=2)[1] != first[1]
