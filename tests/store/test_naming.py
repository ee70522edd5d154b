import pytest
from enc.store import RECIPES, StoreError, default_name
from enc.store.naming import require_name
from fakes import fake_spec


@pytest.mark.parametrize("name", ["", "a/b", "..", "_x", ".x", "a b", "x" * 201])
def test_names_that_cannot_be(name):
    with pytest.raises(StoreError, match="cannot name a feature set"):
        require_name(name)
    assert require_name("minilm-mean_128.v2") == "minilm-mean_128.v2"


@pytest.mark.parametrize(
    ("changes", "layers", "name"),
    [
        (dict(model="minilm", max_length=128, dtype="float16"), 1, "minilm-mean-128"),
        (dict(model="/models/my bert/", pooling=("cls", "max")), 1, "my-bert-cls-max-8-float32"),
        (
            dict(model="org/name", layers=(9, 10, 11, 12), prefix="query: "),
            12,
            "name-mean-layers9to12-8-query-float32",
        ),
        (dict(model="m", layers=(3, 1)), 3, "m-mean-layers3_1-8-float32"),
        (
            dict(model="m", long_text="windows", stride=2, precision="int8"),
            1,
            "m-mean-8-windows2-int8-float32",
        ),
        (dict(model="m", **RECIPES["flat32"], dtype="float16") | dict(layers=(1,)), 1, "m-flat32"),
        (dict(model="m", special_tokens=False), 1, "m-mean-8-bare-float32"),
        (dict(model="m", after_pooling=("normalize",)), 1, "m-mean-normalize-8-float32"),
        (
            dict(model="m", after_pooling=(f"dense:2:tanh:{'a' * 64}", "normalize"), lowercase=True),
            1,
            "m-mean-dense-normalize-8-lowercase-float32",
        ),
    ],
)
def test_default_names(changes, layers, name):
    assert default_name(fake_spec(**changes), layers) == name
