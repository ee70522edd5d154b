import json

from enc.benchmarks.results import Measurement, Results, figure_text, in_turn, machine, write_report
from enc.store.progress import heard_by, tell
from fakes import Heard


def test_contenders_are_measured_in_turn_and_failures_are_told():
    calls = []

    def contender(name, rates):
        def run():
            tell("encoding", 1, 2)  # which is not drawn while it is measured
            calls.append(name)
            return next(rates)

        return run

    def broken():
        raise RuntimeError("no such thing\nand more")

    steady, failing = Measurement("steady", "rows/s"), Measurement("failing", "rows/s")
    said, heard = [], Heard()
    with heard_by(heard):
        in_turn([(steady, contender("steady", iter([1.0, 3.0, 2.0]))), (failing, broken)], 3, said.append)
    assert {stage for stage, *_ in heard.told} == {"repeating"}
    assert heard.of("repeating") == [(done, 6) for done in range(7)]
    assert (steady.rates, steady.median) == ([1.0, 3.0, 2.0], 2.0)
    assert (failing.rates, failing.problem) == ([], "RuntimeError: no such thing")
    assert len(said) == 4


def test_report_puts_the_ratios_first(tmp_path):
    measurements = [
        Measurement("slow", "rows/s", [10.0, 12.0, 11.0]),
        Measurement("fast", "rows/s", [33.0, 33.0], {"cosine": "0.99"}),
        Measurement("absent", "rows/s", problem="not installed"),
    ]
    path = write_report(Results("things", "slow", {"rows": 5}, measurements, machine()), tmp_path / "out")
    lines = path.read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert table[2] == "| fast | 3.00x | 33 rows/s | 33 to 33 | 0.99 |"
    assert table[3].startswith("| slow | 1.00x | 11 rows/s | 10 to 12 |")
    assert "* absent: not installed" in lines
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [m["ratio"] for m in saved["measurements"]] == [1.0, 3.0, 0.0]
    assert saved["measurements"][0]["rates"] == [10.0, 12.0, 11.0]


def test_times_are_multiples_and_the_shortest_is_first(tmp_path):
    measurements = [
        Measurement("whole", "s", [1.0, 1.5, 1.25]),
        Measurement("part", "s", [0.0301, 0.0299, 0.5], {"target": "0.25x"}),
    ]
    results = Results("start", "whole", {}, measurements, machine(), less_is_better=True)
    lines = write_report(results, tmp_path).read_text().splitlines()
    assert lines[2].startswith("Multiples of **whole**; medians of 3 runs")
    table = [line for line in lines if line.startswith("| ")]
    assert table[2] == "| part | 0.02x | 0.0301 s | 0.0299 to 0.5 | 0.25x |"
    assert table[3] == "| whole | 1.00x | 1.25 s | 1 to 1.5 |  |"


def test_figures():
    assert figure_text(1234.5, "rows/s") == "1,234 rows/s"
    assert figure_text(99.94) == "99.9"
    assert figure_text(0.01234, "s") == "0.0123 s"
