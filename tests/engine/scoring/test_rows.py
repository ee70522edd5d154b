import pyarrow as pa
import pytest
from enc.engine.scoring.rows import output_names
from enc.store import SourceError

ADDED = [pa.field("prediction", pa.string()), pa.field("score", pa.float32())]


def test_columns_of_the_output():
    assert output_names(["a", "b"], None, ADDED, "in") == ["a", "b", "prediction", "score"]
    assert output_names(["a", "b"], ["b"], ADDED, "in") == ["b", "prediction", "score"]
    assert output_names(["a", "score"], ["a"], ADDED, "in") == ["a", "prediction", "score"]  # not kept
    assert output_names(["a"], [], ADDED, "in") == ["prediction", "score"]


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (["a"], ["b"], r"column 'b' is not in in \(it has: a\)"),
        (["a", "score"], None, "already has a column 'score'"),
        (["a", "a"], None, "already has a column 'a'"),
        (["a"], ["a", "a"], "already has a column 'a'"),
    ],
)
def test_impossible_columns(names, columns, message):
    with pytest.raises(SourceError, match=message):
        output_names(names, columns, ADDED, "in")
