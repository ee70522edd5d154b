from types import SimpleNamespace

import pytest
from enc.cli.build_features import summary_text as build_text
from enc.cli.score_text import evaluation_text, summary_text

SECONDS = {"total": 1.0}
COUNTS = {"rows": 9, "rejected": 0, "rejects": {}, "rejects_file": None, "cached": 9, "encoded": 0}


def figures(**metrics):
    return SimpleNamespace(rows=8, predicted=8, metrics=metrics, confusion_matrix=None)


def test_figures_of_several_heads_stand_side_by_side():
    found = {"a_prediction": figures(accuracy=0.5, auc=0.75), "b_prediction": figures(pearson=0.25)}
    summary = SimpleNamespace(
        **COUNTS, scored=9, predictions={}, seconds=SECONDS, outputs=["out.parquet"], metrics=found
    )
    lines = summary_text(summary).splitlines()
    assert [line.split() for line in lines[-4:]] == [
        ["a_prediction", "b_prediction"],
        ["accuracy", "0.5000"],
        ["auc", "0.7500"],
        ["pearson", "0.2500"],
    ]
    assert ["with", "a", "label", "8"] in [line.split() for line in lines]
    summary.metrics = {}
    assert "label" not in summary_text(summary)


def test_names_of_figures_are_set_to_the_left():
    summary = SimpleNamespace(**COUNTS, figures=figures(accuracy=0.5, f1=0.25), wrong_file=None)
    lines = evaluation_text(summary, ["0", "1"]).splitlines()
    assert lines[-2].startswith("  accuracy  ")
    assert lines[-1].startswith("  f1        ")
    assert lines[-3].split() == ["8", "rows"]


@pytest.mark.parametrize(
    ("characters", "said"), [(0, "a higher --max-length"), (32, "keeps the first 32 characters")]
)
def test_what_was_cut_is_laid_to_what_cut_it(characters, said):
    summary = SimpleNamespace(
        **COUNTS | {"encoded": 9}, distinct=9, truncated=5, longest=30, seconds=SECONDS, texts_per_second=9.0,
        encoder="", feature_set="set", version=1,
    )  # fmt: skip
    assert said in build_text(summary, "store", characters)
