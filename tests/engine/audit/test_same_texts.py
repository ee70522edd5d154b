import numpy as np
import pyarrow as pa
import pytest
from enc.engine.audit.same_texts import Groups, normalized, text_hashes
from enc.store import Source
from enc.store.duck import workspace
from enc.store.stage import stage_source


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A Good  Room", "a good room "),
        ("ＡＢＣ１", "abc1"),  # full width
        ("a\u00a0b\u3000c", "a b c"),
        ("a\u200bb", "ab"),
        ("ﬁne", "fine"),  # a ligature
    ],
)
def test_what_is_one_text(one, other):
    assert normalized(pa.array([one])) == normalized(pa.array([other]))


@pytest.mark.parametrize(("one", "other"), [("good :)", "good :("), ("-5", "5"), ("C++", "C"), ("a b", "ab")])
def test_what_are_two_texts(one, other):
    assert normalized(pa.array([one])) != normalized(pa.array([other]))


def hashes(write, content, **columns):
    with workspace() as con:
        source = Source(write("t.tsv", content), text_column="text", **columns)
        return text_hashes(stage_source(con, source, label_column="label"))


def test_hashes_are_of_the_labelled_rows_in_order(write):
    found = hashes(write, "text\tlabel\nA b\t1\na B\t0\n\t1\nc\t\nd\t1\n")
    assert len(found) == 3  # an empty text, and one without a label
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


def test_the_texts_of_a_pair_stay_apart(write):
    found = hashes(write, "text\tother\tlabel\na b\tc\t1\na\tb c\t0\n", pair_column="other")
    assert (found[0] != found[1]).any()


GROUPS = Groups.of(np.array([[1, 0], [2, 0], [1, 0], [1, 0], [2, 0]], np.uint64))


def test_rows_are_grouped():
    assert GROUPS.first_rows().tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([0, 1, 0, 0, 1], [-1, -1, -1, -1, -1]),
        ([0, 1, 0, 1, 1], [3, -1, 3, 0, -1]),
        ([0, 1, 1, 2, 0], [3, 4, 0, 0, 1]),
        ([[0, 1], [0, 0], [0, 1], [1, 1], [0, 0]], [3, -1, 3, 0, -1]),
    ],
)
def test_labels_of_one_text_that_differ_contradict_each_other(targets, expected):
    assert GROUPS.contradicted(np.array(targets)).tolist() == expected


def test_numbers_may_differ_by_a_tolerance():
    targets = np.array([0.0, 1.0, 0.4, 0.6, 1.0])
    assert GROUPS.contradicted(targets, 0.5).tolist() == [3, -1, -1, 0, -1]
