"""Reports, from files to a page; and the page in a real browser, where one is installed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import SCHEMES, WIDTHS, all_alive, browser, opened
from enc.engine.reports.curves import calibration, precision_recall, principal_axes
from enc.engine.reports.figures import run_figures
from enc.engine.reports.number_rows import NumberRows
from enc.engine.reports.report import page_of, write_report
from enc.engine.reports.runs import MAX_ROWS, Run, read_run
from enc.engine.reports.set_rows import SetRows
from enc.pages.content import Cell, Table
from enc.store import ReportError

HEADS = Path(__file__).parents[2] / "data" / "v0.1"
EVIL = "<script>document.title='x'</script>好"


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([1, 1], 200).astype(np.float32)
    names = np.array(["<b>bad</b>", "好"])
    columns = {
        "text": [f"{EVIL} {i}" for i in range(200)],
        "label": names[rng.integers(0, 2, 200)],
        "prediction": names[proba.argmax(1)],
        **{f"proba_{name}": proba[:, i] for i, name in enumerate(names)},
    }
    path = tmp_path_factory.mktemp("scored") / "scored.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def report(scored) -> Path:
    return write_report(
        [scored, HEADS / "head-linear", HEADS / "head-ensemble"], scored.parent / "report"
    ).page


def test_a_page_holds_every_part_and_escapes_texts(report):
    html = report.read_text(encoding="utf-8")
    for title in ("Side by side", "Learning curves", "Reliability", "Worst classified rows", "Sweep"):
        assert title in html
    assert EVIL not in html
    assert "&lt;script&gt;document.title" in html
    assert "<b>bad" not in html
    assert len(html) < 3e6


def test_figures_are_told_as_json_what_the_page_shows(scored, tmp_path):
    report = write_report([scored, HEADS / "head-linear", HEADS / "head-ensemble"], tmp_path)
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert (told["schema"], told["report"]) == (1, str(report.page))
    file, head, ensemble = told["runs"]
    rows = pq.read_table(scored).to_pylist()
    right = [row for row in rows if row["label"] == row["prediction"]]
    assert file["metrics"] == {"accuracy": len(right) / 200}
    by_label = {one["label"]: one for one in file["classes"]}
    assert by_label["好"]["recall"] == sum(one["label"] == "好" for one in right) / by_label["好"]["rows"]
    assert (
        sum(map(sum, file["confusion_matrix"]))
        == file["rows"]
        == sum(one["rows"] for one in file["reliability"])
    )
    html = report.page.read_text(encoding="utf-8")
    assert f"expected calibration error {file['calibration_error']:.4f}" in html
    assert len(head["curves"]) > 1
    assert head["calibration_error"] is None
    assert ensemble["confusion_matrix"] == [[12, 9], [19, 0]]
    assert ensemble["sweep"]
    assert EVIL not in json.dumps(told, ensure_ascii=False)


def test_curves_of_folds_have_no_validation_rows(tmp_path):
    folder = shutil.copytree(HEADS / "head-linear", tmp_path / "head")
    (run,) = write_report([folder], tmp_path / "out").as_dict()["runs"]
    assert "valid_loss" in run["curves"][0]
    saved = json.loads((folder / "head.json").read_text())
    saved["record"]["figures_of"] = "the setting on 3 held-out folds"
    (folder / "head.json").write_text(json.dumps(saved))
    report = write_report([folder], tmp_path / "folds")
    (run,) = report.as_dict()["runs"]
    assert {name for name in run["curves"][0] if "loss" in name} == {"train_loss"}
    html = report.page.read_text(encoding="utf-8")
    assert "of the training rows; the dashed line is what was kept" in html
    assert "<dt>figures of</dt>" in html


def test_a_figure_that_is_no_number_is_told_as_null(tmp_path):
    folder = shutil.copytree(HEADS / "head-linear", tmp_path / "head")
    history = pq.read_table(folder / "history.parquet").to_pylist()
    history[0]["train_loss"] = float("nan")
    pq.write_table(pa.Table.from_pylist(history), folder / "history.parquet")
    (run,) = write_report([folder], tmp_path / "out").as_dict()["runs"]
    assert run["curves"][0]["train_loss"] is None


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ReportError, match="is no run"):
        read_run(tmp_path)


def test_a_damaged_history_is_told_and_left_out(tmp_path):
    folder = shutil.copytree(HEADS / "head-linear", tmp_path / "head")
    (folder / "history.parquet").write_bytes(b"PAR1 no")
    run = read_run(folder)
    assert not run.history
    assert any("history.parquet is damaged" in line for line in run.missing)


def test_a_file_without_labels_is_refused(scored):
    with pytest.raises(ReportError, match="--label-column"):
        read_run(scored, "truth")


def test_rows_without_a_label_or_a_prediction_are_left_out(tmp_path):
    path = tmp_path / "gaps.parquet"
    table = {"label": ["None", "a", None, None], "prediction": ["a", None, "a", None]}
    pq.write_table(pa.table(table), path)
    rows = read_run(path).rows
    assert rows is not None
    assert len(rows.truth) == 1
    pq.write_table(pa.table({"label": pa.nulls(2, pa.string()), "prediction": ["a", "b"]}), path)
    with pytest.raises(ReportError, match="no row with both"):
        read_run(path)


def test_a_sweep_shows_settings_as_they_are_typed_and_no_column_that_says_nothing():
    made = {"seed": 42, "fold": None, "diverged": False, "accuracy": 0.91234}
    run = Run("swept", sweep=[{"learning_rate": rate, "head": "mlp", **made} for rate in (0.001, 1.0)])
    (table,) = page_of([run]).sections[-1].blocks
    assert isinstance(table, Table)
    assert [column.title for column in table.columns] == ["learning rate", "head", "seed", "accuracy"]
    shown = [[cell.text for cell in row if isinstance(cell, Cell)] for row in table.rows]
    assert shown == [["0.001", "mlp", "42", "0.9123"], ["1", "mlp", "42", "0.9123"]]


def test_the_candidates_of_a_search_are_shown_and_the_kept_one_is_marked(tmp_path):
    folder = shutil.copytree(HEADS / "head-linear", tmp_path / "head")
    figures = {"metric": 0.5, "error": 0.01, "seconds": 1.5, "feature_bytes": 192, "head_bytes": 2328}
    tried = [
        {"name": name, **figures, "texts_per_second": None, "is_kept": name == "b", "can_be_kept": True}
        for name in "ab"
    ]
    pq.write_table(pa.Table.from_pylist(tried), folder / "auto.parquet")
    run = read_run(folder)
    (table,) = next(section.blocks for section in page_of([run]).sections if section.title == "Candidates")
    assert isinstance(table, Table)
    cells = [[cell for cell in row if isinstance(cell, Cell)] for row in table.rows]
    assert [(row[0].text, row[0].kind) for row in cells] == [("a", ""), ("b", "best")]
    assert [cell.text for cell in cells[0][1:]] == ["0.5000", "0.0100", "1.5", "192", "2,328", "–"]
    assert [one["name"] for one in run_figures(run)["tried"]] == ["a", "b"]


def test_many_rows_are_sampled(tmp_path):
    rows = MAX_ROWS + 50_000
    pq.write_table(
        pa.table({"label": [0, 1] * (rows // 2), "prediction": [0] * rows}), tmp_path / "m.parquet"
    )
    found = read_run(tmp_path / "m.parquet").rows
    assert found is not None
    assert (len(found.truth), found.of) == (MAX_ROWS, rows)
    assert found.truth.mean() == pytest.approx(0.5, abs=0.01)


def test_calibration_is_the_weighted_distance_of_its_bins():
    found = calibration(np.array([0.95, 0.95, 0.65, 0.65]), np.array([True, True, True, False]))
    assert found.error == pytest.approx((0.05 + 0.15) / 2)


def test_precision_and_recall_take_equal_scores_together():
    points = precision_recall(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    assert points == [(0.5, 1.0), (1.0, pytest.approx(2 / 3))]
    assert precision_recall(np.array([False]), np.array([0.5])) == []


def test_principal_axes_are_those_of_the_variance():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((500, 40)) * np.array([9, 5] + [0.5] * 38)
    points, shares = principal_axes(rows.astype(np.float32))
    assert abs(np.corrcoef(points[:, 0], rows[:, 0])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], rows[:, 1])[0, 1]) > 0.99
    assert shares == pytest.approx(np.var(rows, 0)[:2] / np.var(rows, 0).sum(), rel=0.02)


@pytest.mark.parametrize("shape", [(3, 1), (4, 2), (3, 7)])
def test_principal_axes_of_narrow_and_constant_features(shape):
    points, shares = principal_axes(np.ones(shape, np.float32))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    assert shares.tolist() == [0, 0]


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


def test_tables_sort_and_points_are_told_about(chromium, report):
    with opened(chromium, report, width=390) as page:
        title = page.locator("table th", has_text="accuracy").first
        title.locator("button").click()
        assert title.get_attribute("aria-sort") == "descending"
        figure = page.locator("figure.chart", has_text="Reliability")
        figure.scroll_into_view_if_needed()
        page.wait_for_selector("figure[data-live]:has-text('Reliability')")
        figure.locator("g.mark-symbol.role-mark path").last.hover()
        page.wait_for_selector("#vg-tooltip-element.visible")
        assert page.title() == "Report of 3 runs"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_is_whole_at_each_width_and_in_each_colour(chromium, report, tmp_path, width, scheme):
    with opened(chromium, report, width=width, scheme=scheme) as page:
        all_alive(page)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 50_000


def test_charts_are_pictures_without_scripts(chromium, report):
    with opened(chromium, report, script=False) as page:
        figures = page.locator("figure.chart").count()
        assert figures > 5
        assert page.locator("figure.chart svg").count() == figures


def _float_labels(path, table):
    other = path.with_name("tenths.parquet")
    pq.write_table(pa.table(table | {"label": pa.array([0.1] * 50, pa.float32())}), other)
    return other


def test_a_scored_file_of_numbers(tmp_path):
    path = tmp_path / "numbers.parquet"
    table = {
        "text": [f"{EVIL} {i}" for i in range(50)],
        "label": [float(i) for i in range(49)] + [None],
        "prediction": pa.array([i + (10 if i == 7 else 0.5) for i in range(50)], pa.float32()),
    }
    pq.write_table(pa.table(table), path)
    run = read_run(path)
    assert isinstance(run.rows, NumberRows)
    assert len(run.rows.truth) == 49
    assert run.metrics["mae"] == pytest.approx((10 + 48 * 0.5) / 49)
    html = write_report([path], tmp_path / "report").page.read_text(encoding="utf-8")
    assert EVIL not in html
    worst = html[html.index("Worst predicted rows</h2>") :]
    assert worst.index("row 8<") < worst.index("row 1<")
    assert ">7</td>" in worst  # a true number as it stands in the file
    assert ">0.1</td>" in write_report([_float_labels(path, table)], tmp_path / "tenths").page.read_text()
    pq.write_table(pa.table(table | {"label": ["a"] * 50}), path)
    with pytest.raises(ReportError, match=r"predicts numbers, and .*label. holds string"):
        read_run(path)


def test_a_scored_file_of_several_labels(tmp_path):
    path = tmp_path / "sets.parquet"
    table = {
        "text": ["a", "b", EVIL, "d"],
        "label": [["x"], [], ["x", "好"], None],
        "prediction": [["x"], ["好"], ["x", "好"], ["x"]],
        "proba_x": pa.array([0.9, 0.1, 0.8, 0.9], pa.float32()),
        "proba_好": pa.array([0.2, 0.7, 0.6, 0.1], pa.float32()),
    }
    pq.write_table(pa.table(table), path)
    run = read_run(path)
    assert isinstance(run.rows, SetRows)
    assert run.rows.truth.tolist() == [[True, False], [False, False], [True, True]]
    assert run.metrics["accuracy"] == pytest.approx(2 / 3)
    report = write_report([path], tmp_path / "report")
    (told,) = report.as_dict()["runs"]
    assert [(one["label"], one["rows"], one["recall"]) for one in told["classes"]] == [
        ("x", 2, 1),
        ("好", 1, 1),
    ]
    # In float32, 0.7 is below its bin: of 0.9 and 0.9 all are right, of 0.8 and 0.8, and half of 0.7 and 0.6.
    assert told["calibration_error"] == pytest.approx((0.1 + 0.2 + 0.15) / 3)
    html = report.page.read_text(encoding="utf-8")
    worst = html[html.index("Worst classified rows</h2>") :]
    assert "1 of 1 that are not wholly right" in worst
    assert "row 2<" in worst
    del table["proba_x"], table["proba_好"]
    pq.write_table(pa.table(table), path)
    with pytest.raises(ReportError, match="score with --proba"):
        read_run(path)
