import numpy as np
import pytest
from enc.engine import SolveConfig
from enc.store import SourceError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(l2=[]), r"l2 must be one or more numbers, such as \(1.0, 0.1, 0.01\), not \[\]"),
        (dict(l2=0.1), "l2 must be one or more numbers"),
        (dict(l2="0.1"), "l2 must be one or more numbers"),
        (dict(l2=[1.0, -1.0]), "l2 must be a number from 0 up that float32 can hold, not -1.0"),
        (dict(l2=[float("nan")]), "not nan"),
        (dict(l2=[float("inf")]), "not inf"),
        (dict(l2=["strong"]), "not 'strong'"),
        (dict(l2=[True]), "not True"),
        (dict(label_smoothing=1), "label_smoothing must be a number from 0 up and below 1, not 1"),
        (dict(seed=-1), "seed must be a whole number from 0 to"),
        (dict(seed=10**23), "seed must be a whole number from 0 to"),
        (dict(metric="bleu"), "unknown metric 'bleu'; there are loss, accuracy"),
        (dict(class_weights="much"), "cannot read class weights 'much'; write balanced"),
        (dict(class_weights={"a": -1}), "class weight of 'a' must be a number above 0"),
    ],
)
def test_impossible_configurations(changes, message):
    with pytest.raises(SourceError, match=message):
        SolveConfig(**changes)


def test_options_of_gradient_descent_are_not_taken():
    with pytest.raises(TypeError, match="epochs"):
        SolveConfig(epochs=3)


def test_numbers_of_numpy_become_pythons():
    config = SolveConfig(l2=[np.float64(1), np.int64(2)], seed=np.int64(3))
    assert [type(value) for value in (*config.l2, config.seed)] == [float, float, int]
