"""Saved results: what changed since others, and the page of them, in a browser, too."""

import json

import pytest
from browser import SCHEMES, WIDTHS, all_alive, browser, opened
from enc.benchmarks.bench_roofline import points, work_of
from enc.benchmarks.page import page_of, write_results_page
from enc.benchmarks.results import Measurement, Results, write_report
from enc.benchmarks.saved import changes, differing_settings, read_saved
from enc.pages.comparisons import bars
from enc.store import ReportError

MACHINE = {
    "processor": "a", "cpus": 2, "torch_threads": 2, "gpu": None, "system": "s", "python": "3",
    "versions": {},
}  # fmt: skip
CONFIG = {"hidden_size": 4, "num_hidden_layers": 2, "intermediate_size": 8}


def results(*rates, benchmark="encode", **more) -> dict:
    measured = [
        Measurement("sentence-transformers encode", "texts/s", [10.0, 10.0]),
        Measurement("enc torch fp32", "texts/s", list(rates), {"cosine to fp32": "1.00000"}),
        Measurement("enc openvino bf16", "texts/s", [40.0, 42.0]),
        Measurement("absent", "texts/s", problem="it is not installed"),
    ]
    settings = {"texts": 5}
    return Results(benchmark, measured[0].name, settings, measured, MACHINE, **more).as_dict()


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        ([20, 20, 20], [23, 23, 23], "1.15x, faster"),
        ([20, 20, 20], [20.5, 20.5, 20.5], "1.02x, within noise"),
        ([18, 20, 22], [23, 23, 23], "1.15x, faster"),
        ([17, 20, 23], [23, 23, 23], "1.15x, within noise"),
        ([20, 20], [16, 16], "0.80x, slower"),
        ([20], [24], "1.20x, within noise"),
        ([20], [26], "1.30x, faster"),
    ],
)
def test_a_change_counts_beyond_the_noise_of_both(before, now, text):
    found = changes(results(*map(float, now)), [results(*map(float, before))])
    assert found["enc torch fp32"].text == text
    assert "absent" not in found


def test_less_time_is_faster_and_other_units_are_not_compared():
    old, new = (results(*rates, less_is_better=True) for rates in ([4.0, 4.0], [2.0, 2.0]))
    assert changes(new, [old])["enc torch fp32"].text == "2.00x, faster"
    for measured in old["measurements"]:
        measured["unit"] = "ms"
    assert changes(new, [old]) == {}
    assert changes(new, [results(4.0, 4.0, benchmark="heads")]) == {}


def test_what_was_set_otherwise_is_told():
    old = results(1.0, 1.0)
    old["settings"] = {"texts": 6}
    old["machine"] = {**MACHINE, "processor": "b"}
    assert differing_settings(results(1.0, 1.0), [old]) == [
        "texts was 6, and is 5",
        "the processor was b, and is a",
    ]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"benchmarks": [{}]}', '{"benchmark": "x", "measurements": []}']
)
def test_other_files_are_refused(write, text):
    with pytest.raises(ReportError, match=r"is no results\.json"):
        read_saved(write("r.json", text))


def test_files_of_newer_releases_and_missing_ones_are_refused(write, tmp_path):
    newer = json.dumps({**results(1.0), "schema": 99})
    with pytest.raises(ReportError, match="newer enc"):
        read_saved(write("r.json", newer))
    with pytest.raises(ReportError, match="cannot be read"):
        read_saved(tmp_path / "none.json")


def test_the_work_of_a_network_is_counted():
    work = work_of(CONFIG)
    assert work is not None
    weights = 2 * (4 * 16 + 2 * 4 * 8)  # two layers of four square matrices and two of 4 x 8
    assert (work.weights, work.flops_of_weights) == (weights, 2 * weights)
    (found,) = points(work, {"enc torch fp32": 10.0, "enc something": 1.0}, [3, 5], {"enc torch fp32": 16})
    flops = 2 * weights * 4 + 4 * 4 * 2 * (9 + 25) / 2  # scores and their sums
    assert found["gflops"] == pytest.approx(flops * 10 / 1e9)
    moved = 4 * (2 * 4 * 2 * 4 + weights * 4 / 16)
    assert found["gigabytes_per_second"] == pytest.approx(moved * 10 / 1e9)
    assert work_of({}) is None


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    encoded = results(20.0, 21.0)
    work = work_of(CONFIG)
    assert work is not None
    names = ("enc torch fp32", "enc openvino bf16")
    encoded["details"] = {
        "batch_sizes": [
            {"name": name, "tokens_per_batch": size, "rate": 20.0 + size, "padding": size / 1e5}
            for name in names
            for size in (512, 1024)
        ],
        "stages": [{"stage": "encode", "seconds": 2.5}, {"stage": "write", "seconds": 0.0}],
        "roofline": points(work, dict.fromkeys(names, 20.0), [4], dict.fromkeys(names, 512)),
    }
    tuned = [
        Measurement(name, "jobs/hour", [60.0], {"accuracy": "0.9"}) for name in ("enc fine-tune", "frozen")
    ]
    roofs = [
        Measurement("fp32 matrix product", "GFLOP/s", [100.0]),
        Measurement("bf16 matrix product", "GFLOP/s", [200.0]),
        Measurement("memory copy", "GB/s", [10.0]),
    ]
    found = [
        encoded,
        Results("fine-tune", "enc fine-tune", {}, tuned, MACHINE).as_dict(),
        Results("roofline", roofs[0].name, {}, roofs, MACHINE).as_dict(),
    ]
    return write_results_page(found, tmp_path_factory.mktemp("page"), [results(10.0, 10.5)])


def test_a_page_tells_ratios_changes_and_what_was_not_measured(page):
    html = page.read_text(encoding="utf-8")
    for text in (
        "4.1x",
        "2.00x, faster",
        "Not measured: absent (it is not installed)",
        "of the ceiling",
        "Time against metric",
    ):
        assert text in html


def test_headlines_are_the_best_of_enc_against_others():
    (figures,) = page_of([results(20.0, 21.0)]).sections[0].blocks
    (figure,) = figures.figures
    assert (figure.value, figure.remark) == (
        "4.1x",
        "enc openvino bf16, against sentence-transformers encode",
    )


def test_the_page_in_a_browser(page):
    with browser() as chromium:
        for width in WIDTHS:
            for scheme in SCHEMES:
                with opened(chromium, page, width=width, scheme=scheme) as tab:
                    all_alive(tab)
        with opened(chromium, page) as tab:
            all_alive(tab)
            tab.locator("th", has_text="median").first.locator("button").click()
            assert tab.locator("table").first.locator("tbody td").first.inner_text() == "enc openvino bf16"
            figure = tab.locator("figure.chart", has_text="Roofline")
            figure.locator("g.mark-symbol.role-mark path").last.hover(force=True)
            tab.wait_for_selector("#vg-tooltip-element.visible")


def test_a_report_is_read_back(tmp_path):
    measured = [Measurement("a", "s", [1.0])]
    write_report(Results("x", "a", {}, measured, MACHINE, details={"d": [{"n": 1}]}), tmp_path)
    (saved,) = read_saved(tmp_path / "results.json")
    assert (saved["schema"], saved["details"], saved["benchmark"]) == (2, {"d": [{"n": 1}]}, "x")


@pytest.mark.parametrize(("seconds", "form"), [(0.071, ",.3~r"), (20_000.0, "~s")])
def test_seconds_below_one_are_not_told_in_m(seconds, form):
    spec = bars([{"stage": "encode", "seconds": seconds}], "stage", ("seconds", "seconds"))
    assert spec["encoding"]["x"]["axis"]["format"] == form
