import tracemalloc

import pytest
from enc.store import SpecError
from enc.store.parts import parse_layers, select_parts
from fakes import fake_spec


def test_layers_in_words():
    assert parse_layers("last", 12) == (12,)
    assert parse_layers("all", 3) == (1, 2, 3)
    assert parse_layers("9-12, 1", 12) == (9, 10, 11, 12, 1)
    assert parse_layers([2, 1], 2) == (2, 1)
    assert parse_layers("0", 12) == (0,)
    assert parse_layers("all", (0, 5)) == (0, 5)
    for wrong in ("13", "5-13", "x", "-1", "", "3-1", "²", "9" * 5000):
        with pytest.raises(SpecError, match="layer"):
            parse_layers(wrong, 12)
    with pytest.raises(SpecError, match="no layers are named"):
        parse_layers([], 12)


def test_a_range_is_not_expanded_before_its_ends_are_known():
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match="there is no layer 1000000; the model has layers 1 to 12"):
            parse_layers("1-1000000", 12)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


STORED = fake_spec(layers=(9, 10, 11, 12), pooling=("cls", "mean"))


@pytest.mark.parametrize(
    ("text", "layers", "pooling"),
    [
        ("layers=10-12,pooling=mean", (10, 11, 12), ("mean",)),
        ("pooling=mean,cls", (9, 10, 11, 12), ("mean", "cls")),
        ("layers=12,9", (12, 9), ("cls", "mean")),
        ("layers=last", (12,), ("cls", "mean")),
        (" layers=all, pooling=cls", (9, 10, 11, 12), ("cls",)),
    ],
)
def test_parts_in_words(text, layers, pooling):
    use = select_parts(STORED, text)
    assert (use.layers, use.pooling) == (layers, pooling)
    assert STORED.covers(use)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("layers=8-9", SpecError, "no layer 8; there are 9, 10, 11, 12"),
        ("pooling=max", SpecError, r"pooling max is not among the stored features \(they have cls,mean\)"),
        ("mean", SpecError, "cannot read 'mean'; write layers=9-12"),
        ("layers=9,layers=10", SpecError, "cannot read"),
        ("depth=3", SpecError, "cannot read"),
    ],
)
def test_parts_that_are_not_there(text, error, message):
    with pytest.raises(error, match=message):
        select_parts(STORED, text)
