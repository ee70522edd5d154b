"""All benchmarks as one report, with parts that cost nothing; and the ceilings of this machine."""

import json

import pytest
from click.testing import CliRunner
from enc.benchmarks import bench_all
from enc.benchmarks.results import Measurement, Results, machine
from enc.cli.main import main
from enc.store import SourceError


@pytest.fixture
def ran(monkeypatch):
    """Names of the parts that were measured; one part raises what is put under its name into ``problems``."""
    names, problems = [], {}

    def part(name):
        def run(asked, texts, say):
            assert texts.read_text(encoding="utf-8").startswith("sentence\tlabel\n")
            if name in problems:
                raise problems[name]
            names.append(name)
            measured = [Measurement("other", "rows/s", [1.0]), Measurement("enc it", "rows/s", [3.0])]
            return Results(name, "other", {"quick": asked.quick}, measured, machine())

        return bench_all.Part(name, (60, 60), run)

    monkeypatch.setattr(bench_all, "PARTS", tuple(part(name) for name in ("one", "two", "three")))
    return names, problems


def bench_all_of(tmp_path, *options, code=0):
    result = CliRunner().invoke(main, ["bench", "all", "--output", str(tmp_path / "out"), *options])
    assert result.exit_code == code, result.output
    return result


def test_an_interrupted_run_goes_on(ran, tmp_path):
    names, problems = ran
    problems["two"] = KeyboardInterrupt()
    said = bench_all_of(tmp_path, code=130).stderr
    assert "about 3 minutes on two cores" in said
    assert "part 2 of 3: two; about 2.0 minutes left" in said
    del problems["two"]
    said = bench_all_of(tmp_path).stderr
    assert "1 of 3 parts are there already" in said
    assert names == ["one", "two", "three"]
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["benchmark"] for one in saved["benchmarks"]] == names
    assert "3x" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    bench_all_of(tmp_path)
    assert len(names) == 3
    bench_all_of(tmp_path, "--quick")  # another question
    assert len(names) == 6


def test_a_part_that_fails_is_told_and_the_others_go_on(ran, tmp_path):
    names, problems = ran
    problems["one"] = SourceError("no such column")
    assert "one was not measured: no such column" in bench_all_of(tmp_path).stderr
    assert names == ["two", "three"]


def test_results_are_compared(ran, tmp_path):
    bench_all_of(tmp_path)
    old = tmp_path / "out" / "results.json"
    slower = json.loads(old.read_text())
    for measured in slower["benchmarks"][0]["measurements"]:
        measured["rates"], measured["median"] = [0.5], 0.5
    (tmp_path / "old.json").write_text(json.dumps(slower))
    said = bench_all_of(tmp_path, "--compare", str(tmp_path / "old.json")).stderr
    assert "one, enc it: 6.00x, faster" in said
    assert "two, enc it" not in said
    assert "cannot be read" in bench_all_of(tmp_path, "--compare", str(tmp_path / "none.json"), code=2).stderr


def test_ceilings(bench):
    by_name, saved, _ = bench("roofline", "--seconds", 0.01)
    assert all(measured["median"] > 0 for measured in by_name.values()), by_name
    assert {"fp32 matrix product", "int8 matrix product", "memory copy"} <= set(by_name)
    assert saved["schema"] == 2
