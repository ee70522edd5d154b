import numpy as np
import pyarrow as pa
import pytest
from enc.engine import Head, Labels
from enc.engine.heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from enc.engine.scoring.added import Added
from enc.store import HeadError, LabelError
from fakes import fake_spec

OUTPUTS = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.34, 0.33, 0.33]], np.float32)


def head(task=SINGLE_LABEL, labels=("a", "b", "c")):
    return Head("linear", Labels(labels), fake_spec(), {}, "set", "text", task=task)


def rows(added, outputs=OUTPUTS):
    batch = pa.RecordBatch.from_arrays(
        added.columns(outputs, added.decide(outputs)), schema=pa.schema(added.fields())
    )
    return batch.to_pylist()


def test_the_most_probable_label():
    found = rows(Added(head()))
    assert [row["prediction"] for row in found] == ["a", "c", "a"]
    assert [row["score"] for row in found] == pytest.approx([0.5, 0.7, 0.34])
    assert Added(head()).counts(Added(head()).decide(OUTPUTS)).tolist() == [2, 0, 1]


def test_a_prediction_below_the_threshold_is_null():
    added = Added(head(), threshold=0.5)  # 0.5 is not above it
    assert [row["prediction"] for row in rows(added)] == [None, "c", None]
    assert [row["score"] is None for row in rows(added)] == [True, False, True]
    assert added.counts(added.decide(OUTPUTS)).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        ({"b": 0.25}, ["b", "c", "b"]),  # where b is above 0.25, whatever the others have
        ({"b": 0.9}, ["a", "c", "a"]),  # else the best of the others
        ({"a": 0.45, "b": 0.1}, ["b", "b", "b"]),  # b is further above
        ({"a": 0.4, "b": 0.4, "c": 0.4}, ["a", "c", None]),  # no other label is left
    ],
)
def test_thresholds_of_labels(threshold, expected):
    assert [row["prediction"] for row in rows(Added(head(), threshold=threshold))] == expected


def test_several_labels_are_those_above():
    several = head(MULTI_LABEL)
    assert [row["prediction"] for row in rows(Added(several))] == [[], ["c"], []]
    found = rows(Added(several, threshold={"b": 0.25}))
    assert [row["prediction"] for row in found] == [["b"], ["c"], ["b"]]
    assert [np.round(row["score"], 2).tolist() for row in found] == [[0.3], [0.7], [0.33]]
    assert [row["prediction"] for row in rows(Added(several, threshold=0.2))] == [
        ["a", "b"],
        ["c"],
        ["a", "b", "c"],
    ]


def test_the_best_labels_and_all_probabilities():
    found = rows(Added(head(), "x_", proba=True, top_k=2))
    assert list(found[0]) == [
        "x_prediction", "x_score", "x_top_labels", "x_top_scores", "x_proba_a", "x_proba_b", "x_proba_c",
    ]  # fmt: skip
    assert [row["x_top_labels"] for row in found] == [["a", "b"], ["c", "b"], ["a", "b"]]
    assert found[1]["x_top_scores"] == pytest.approx([0.7, 0.2])
    assert found[2]["x_proba_c"] == pytest.approx(0.33)


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_no_rows(task):
    added = Added(head(task), proba=True, top_k=1, threshold={"a": 0.5})
    assert rows(added, np.empty((0, 3), np.float32)) == []
    assert added.counts(added.decide(np.empty((0, 3), np.float32))).tolist() == [0, 0, 0]


def test_a_regression_adds_a_number():
    number = head(REGRESSION, ())
    assert rows(Added(number), np.array([[1.5]], np.float32)) == [{"prediction": 1.5}]
    for options in ({"proba": True}, {"top_k": 1}, {"threshold": 0.5}):
        with pytest.raises(HeadError, match="a regression has no probabilities"):
            Added(number, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 4}, "the head has 3 labels"),
        ({"threshold": {"d": 0.5}}, "a threshold is given for label 'd'; the labels are: a, b, c"),
        ({"threshold": 1.5}, "a threshold is a probability"),
        ({"threshold": float("nan")}, "a threshold is a probability"),
        ({"threshold": {}}, "a threshold is a probability"),
        ({"threshold": {"a": 0.5, "b": float("nan")}}, "a threshold is a probability"),
    ],
)
def test_what_a_head_cannot_do(options, message):
    with pytest.raises((HeadError, LabelError), match=message):
        Added(head(), **options)
