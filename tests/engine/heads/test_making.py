import pytest
from enc.engine.heads.making import make_head
from enc.engine.heads.own_code import OwnCode
from enc.store import HeadError
from head_features import HIDDEN, LENGTH, scaled_head, token_features


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("mlp", dict(hidden=[5, 4], dropout=0.5)),
        ("cnn", dict(kernel_sizes=2, channels=3)),
        ("cnn", dict(kernel_sizes=[1, 4])),
        ("lstm", dict(hidden=5, layers=2)),
        ("attention", dict(heads=3, hidden=2)),
    ],
)
def test_arguments(kind, arguments):
    head = scaled_head(kind, (LENGTH, HIDDEN), **arguments)
    assert head(token_features([1, 7], LENGTH)).shape == (2, 3)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (
            "cnn",
            dict(depth=3),
            r"head 'cnn' has no argument 'depth' \(it takes: channels, kernel_sizes, dropout\); mend "
            r"--head-args",
        ),
        ("linear", dict(hidden=3), "head 'linear' has no argument 'hidden' .it takes none"),
        (
            "mlp",
            dict(hidden="many"),
            r"head 'mlp' cannot be made for features \[7, 6\] and 2 outputs with {'hidden': 'many'}",
        ),
        ("mlp", dict(dropout=7), "dropout probability"),
        ("lstm", dict(hidden=0), "head 'lstm' cannot be made"),
        (
            "nowhere_at_all:Head",
            dict(),
            "No module named 'nowhere_at_all'; run enc where nowhere_at_all lies, or put it on PYTHONPATH",
        ),
        ("json:Head", dict(), "module 'json' has no class 'Head'"),
        ("json:dumps", dict(), "'json:dumps' is not a torch.nn.Module class"),
        ("json:", dict(), "write one of enc's own, or module:Class"),
        ("torch.nn:Linear", dict(), "head 'torch.nn:Linear' cannot be made"),
    ],
)
def test_heads_that_cannot_be_made(kind, arguments, message):
    with pytest.raises(HeadError, match=message) as caught:
        make_head(kind, (LENGTH, HIDDEN), 2, arguments, code=OwnCode(is_allowed=True))
    assert "\n" not in str(caught.value)
