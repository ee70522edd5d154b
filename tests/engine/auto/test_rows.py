"""Rows before anything is encoded, and their folds."""

import numpy as np
import pytest
from enc.engine.auto.rows import numbers_of, read_rows
from enc.engine.words.texts import Texts
from enc.store import HeadError, Source, SourceError


def test_equal_texts_have_equal_numbers():
    assert numbers_of(Texts.of(["b", "a", "b", "c"])).tolist() == [0, 1, 0, 2]
    pairs = Texts.of(["b", "a", "a", "c"], ["a", "b", "c", "c"])
    assert numbers_of(pairs).tolist() == [0, 0, 1, 2]


def test_rows_without_label_or_text_are_left_out(tmp_path):
    (tmp_path / "t.tsv").write_text("text\tlabel\none\tx\n\ty\ntwo\t\nthree\ty\none\ty\nfour\tx\n")
    rows = read_rows(Source(tmp_path / "t.tsv"), "label", None)
    assert rows.texts.first.to_pylist() == ["one", "three", "one", "four"]
    assert rows.targets.tolist() == [0, 1, 1, 0]
    folds = rows.folds(3, 0)
    assert folds[0] == folds[2]
    assert sorted(np.unique(folds)) == [0, 1, 2]
    with pytest.raises(HeadError, match="4 folds need as many distinct texts"):
        rows.folds(4, 0)


def test_a_source_without_labelled_rows_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("text\tlabel\none\t\n")
    with pytest.raises(SourceError, match="no row with a label"):
        read_rows(Source(tmp_path / "t.tsv"), "label", "regression")
