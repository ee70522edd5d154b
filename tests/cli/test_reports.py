"""The report that training writes beside what it trained."""

import json

import numpy as np
import pytest
from browser import all_alive, browser, opened
from enc.engine import Fraction, Head, train_head
from enc.engine.reports.held_out import held_out_rows
from enc.pages import painter as painting
from enc.store import FeatureTable, Source


@pytest.fixture
def with_reports(monkeypatch):
    monkeypatch.setenv("ENC_REPORT", "1")


@pytest.fixture
def train(enc, build, reviews, tmp_path):
    def train(*options):
        return enc("train-head", reviews, *build(), "--output", tmp_path / "head", *options)

    return train


@pytest.mark.usefixtures("with_reports")
@pytest.mark.parametrize(
    "options",
    [
        ("--valid-fraction", 0.4),
        ("--folds", 3, "--sweep", "lr=1e-2,1e-3"),
        ("--valid-fraction", 0.4, "--solver", "lbfgs", "--use", "pooling=mean"),
    ],
)
def test_a_head_comes_with_a_report(train, tmp_path, options):
    result = train(*options)
    assert result.stdout.splitlines()[-1] == f"report written: '{tmp_path / 'head' / 'report.html'}'"
    html = (tmp_path / "head" / "report.html").read_text(encoding="utf-8")
    for title in ("Figures", "Classes", "Reliability", "Length", "Map of the features", "Worst classified"):
        assert title in html
    assert ("Sweep" in html) == ("--sweep" in options)
    with browser() as chromium, opened(chromium, tmp_path / "head" / "report.html") as page:
        all_alive(page)
        points = page.locator("figure.chart.wide g.mark-symbol.role-mark path")
        assert points.count() == {True: 60, False: int(points.count())}["--folds" in options]
        points.last.hover(force=True)
        page.wait_for_selector("#vg-tooltip-element.visible")
        said = page.locator("#vg-tooltip-element").inner_text()
    assert any(word in said for word in ("good", "bad"))


@pytest.mark.usefixtures("with_reports")
def test_a_report_can_be_left_out(train, tmp_path):
    result = train("--valid-fraction", 0.4, "--no-report")
    assert "report written" not in result.stdout
    assert not (tmp_path / "head" / "report.html").exists()


@pytest.mark.usefixtures("with_reports")
@pytest.mark.parametrize("held_out", [("--valid-fraction", 0.4), ("--folds", 2)])
def test_several_labels_and_numbers_have_rows_of_their_own(train, tmp_path, held_out):
    tasks = (("--label-column", "tags"), ("--label-column", "stars", "--task", "regression"))
    for options, title in zip(tasks, ("Precision and recall", "Predicted by true"), strict=True):
        train(*held_out, *options)
        html = (tmp_path / "head" / "report.html").read_text(encoding="utf-8")
        assert title in html
        assert "Map of the features" not in html


@pytest.mark.usefixtures("with_reports")
def test_where_nothing_can_draw_the_head_is_saved(train, tmp_path, monkeypatch):
    monkeypatch.setattr(painting, "find_spec", lambda _: None)
    result = train("--valid-fraction", 0.4)
    assert "no report will be written: reports need the package vl-convert-python" in result.stderr
    assert (tmp_path / "head" / "head.json").is_file()


@pytest.mark.parametrize("valid", ["fraction", "source"])
def test_the_rows_of_a_report_are_those_that_were_validated_on(build, reviews, valid):
    path = build()[1]
    (name,) = [one.name for one in path.iterdir()]
    table, source = FeatureTable(path / name), Source(reviews)
    share = 0.4 if valid == "fraction" else None
    head = train_head(source, table, valid=Fraction(0.4) if share else source)
    assert isinstance(head, Head)
    rows = held_out_rows(head, table, source, share=share)
    assert rows is not None
    assert rows.texts is not None
    assert len(rows.truth) == head.metrics["valid_rows"]
    assert float((rows.truth == rows.predicted).mean()) == pytest.approx(head.metrics["accuracy"])
    number = int(rows.places[0].split()[-1]) - 1
    assert rows.texts[0] == f"{'good ' * (number % 4)}{'bad ' * ((number + 1) % 3)}{number}"
    assert rows.tokens is not None
    assert (rows.tokens > 2).all()
    assert rows.truncated is not None
    assert np.array_equal(rows.truncated, rows.tokens > 16)


@pytest.mark.usefixtures("with_reports")
def test_a_fine_tuned_model_comes_with_a_report(enc, reviews, tiny_bert, tmp_path):
    options = [
        "--model", tiny_bert, "--train-file", reviews, "--validation-file", reviews, "--label-column",
        "label", "--do-train", "--do-eval", "--num_train_epochs", 2, "--logging_steps", 1, "--max_length", 16,
        "--eval_strategy", "epoch", "--output-dir", tmp_path / "tuned", "--use_cpu",
    ]  # fmt: skip
    result = enc("fine-tune", *options, "--json")
    figures = json.loads(result.stdout.splitlines()[-1])
    html = (tmp_path / "tuned" / "report.html").read_text(encoding="utf-8")
    for title in ("Learning curves", "Confusion matrix", "Reliability", "Right by length"):
        assert title in html
    assert f">{figures['eval_accuracy']:.4f}<" in html
    again = enc("report", tmp_path / "tuned", "--output", tmp_path / "again")
    assert "report written" in again.stdout
    (tmp_path / "tuned" / "enc.json").write_text("{}")
    assert "is damaged" in enc("report", tmp_path / "tuned", "--output", tmp_path / "no", code=2).stderr
