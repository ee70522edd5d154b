import pytest
from enc.store import ModelError, SpecError
from enc.store.parts import parse_layers, select_parts
from fakes import fake_spec


def test_layers_in_words():
    assert parse_layers("last", 12) == (12,)
    assert parse_layers("all", 3) == (1, 2, 3)
    assert parse_layers("9-12, 1", 12) == (9, 10, 11, 12, 1)
    assert parse_layers([2, 1], 2) == (2, 1)
    for wrong in ("0", "13", "5-13", "x", "-1", "", "3-1"):
        with pytest.raises(ModelError, match="layer"):
            parse_layers(wrong, 12)


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
        ("layers=8-9", ModelError, "no layer 8; there are 9, 10, 11, 12"),
        ("pooling=max", SpecError, r"pooling max is not among the stored features \(they have cls,mean\)"),
        ("mean", SpecError, "cannot read 'mean'; write layers=9-12"),
        ("layers=9,layers=10", SpecError, "cannot read"),
        ("depth=3", SpecError, "cannot read"),
    ],
)
def test_parts_that_are_not_there(text, error, message):
    with pytest.raises(error, match=message):
        select_parts(STORED, text)
