"""Which runs a sweep has."""

import pytest
from enc.engine.sweep.grid import parse_sweep, runs_of
from enc.engine.train.config import TrainConfig
from enc.store import SourceError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[64,32],[128]", [[64, 32], [128]]),
        ("64, [64, 32]", [64, [64, 32]]),
        ("[[1,2],[3]],[]", [[[1, 2], [3]], []]),
        ('{"a":[1,2],"b":3},{}', [{"a": [1, 2], "b": 3}, {}]),
        ('"a,b","]"', ["a,b", "]"]),
        ("relu,tanh", ["relu", "tanh"]),
    ],
)
def test_values_are_split_outside_brackets(text, values):
    assert parse_sweep([f"head_args.hidden={text}"]) == {"head_args.hidden": values}


@pytest.mark.parametrize("text", ["[64,32", "64]", '"a,b', "]3["])
def test_brackets_that_do_not_match(text):
    with pytest.raises(SourceError, match="a bracket or a quote is not closed"):
        parse_sweep([f"head_args.hidden={text}"])


def test_a_setting_given_twice_is_trained_once():
    grid = parse_sweep(["lr=0.1,1e-1,0.2", "head_args.hidden=[4,8],[4, 8]"])
    runs = runs_of(TrainConfig(head="mlp"), grid, seeds=2)
    assert [(run.config.learning_rate, run.config.seed) for run in runs] == [
        (0.1, 42),
        (0.1, 43),
        (0.2, 42),
        (0.2, 43),
    ]


def test_sweep_options():
    grid = parse_sweep(
        [
            "lr=1e-3,0.1",
            "weight-decay=0",
            "epochs=2,3",
            "standardize=true,false",
            "head_args.hidden=4,8",
            "use=layers=9-12,pooling=mean",
        ]
    )
    assert grid == {
        "learning_rate": [0.001, 0.1],
        "weight_decay": [0.0],
        "epochs": [2, 3],
        "standardize": [True, False],
        "head_args.hidden": [4, 8],
        "use": ["layers=9-12,pooling=mean"],
    }
    runs = runs_of(TrainConfig(head="mlp"), grid, seeds=2)
    assert len(runs) == 32
    assert runs[-1].config.head_args == {"hidden": 8}
    assert {run.config.seed for run in runs} == {42, 43}
    for option, message in [
        ("depth=3", "'depth' cannot be swept; there are head, head_init, optimizer"),
        ("lr", "write name=value"),
        ("epochs=many", "--sweep epochs cannot be 'many'; it takes int values"),
        ("seed=1,2", "cannot be swept"),
    ]:
        with pytest.raises(SourceError, match=message):
            parse_sweep([option])
    with pytest.raises(SourceError, match="twice"):
        parse_sweep(["lr=1", "learning_rate=2"])
    with pytest.raises(SourceError, match="more than 10,000"):
        runs_of(TrainConfig(), {"learning_rate": [0.1 + i for i in range(101)]}, seeds=100)
    with pytest.raises(SourceError, match="learning_rate must be a number above 0"):
        runs_of(TrainConfig(), {"learning_rate": [0.0]})


def test_a_short_name_stands_for_the_full_one():
    runs = runs_of(TrainConfig(), {"lr": [0.1, 0.2]})
    assert [run.config.learning_rate for run in runs] == [0.1, 0.2]
    with pytest.raises(SourceError, match="names 'learning_rate' twice"):
        runs_of(TrainConfig(), {"lr": [0.1], "learning_rate": [0.2]})
