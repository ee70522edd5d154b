"""What objects show of themselves in a notebook."""

from pathlib import Path

import pytest
from enc.engine import Folds, Fraction, Head, evaluate_head, search, train_head
from enc.pages.notebook import piece
from enc.pages.numbers import number_text
from enc.store import FeatureTable, Source

HEADS = Path(__file__).parents[1] / "data" / "v0.1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (1234, "1,234"), (0.5, "0.5000"), (12.0, "12"), (1.0, "1.0000"), (0, "0"),
        (0.0, "0.0000"),
        (1.5e-7, "1.5e-07"), (123456.7, "123,457"), (True, "True"), ("a", "a"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_figures_are_short(value, text):
    assert number_text(value) == text


def test_texts_are_escaped_and_long_tables_are_cut():
    html = piece("<b>", {"<i>": 0.25}, ["<u>"], [["<s>"]] * 31)
    assert not any(tag in html for tag in ("<b>", "<i>", "<u>", "<s>"))
    assert html.count("&lt;s&gt;") == 30
    assert "… and 1 more" in html


@pytest.mark.parametrize("name", ["head-linear", "head-ensemble"])
def test_a_head_is_a_line_and_a_table(name):
    head = Head.load(HEADS / name)
    assert repr(head).startswith(f"Head({head.kind}, {head.task.name}")
    assert "\n" not in repr(head)
    html = head._repr_html_()
    assert f"<td>{head.metrics['accuracy']:.4f}</td>" in html
    assert ("predicted" in html) == ("confusion_matrix" in head.metrics)


def test_a_sweep_and_an_evaluation_show_themselves(tmp_path, tiny_bert):
    from enc.engine import build_features, load_encoder

    path = tmp_path / "rows.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{'ab'[i % 2]} {i}\t{i % 2}\n" for i in range(40)))
    encoder = load_encoder(str(tiny_bert), max_length=8)
    build_features(Source(path), tmp_path / "store", encoder, name="tiny")
    table = FeatureTable(tmp_path / "store" / "tiny")
    found = search(Source(path), table, grid={"learning_rate": [0.1, 0.01]}, valid=Folds(2))
    html = found._repr_html_()
    assert "2 settings by accuracy" in html
    assert "<td>0.0100</td>" in html
    assert repr(found).startswith("Found({'learning_rate': ")
    head = train_head(Source(path), table, valid=Fraction(0.5))
    summary = evaluate_head(Source(path), head, tmp_path / "store")
    assert f"<td>{summary.figures.metrics['accuracy']:.4f}</td>" in summary._repr_html_()
