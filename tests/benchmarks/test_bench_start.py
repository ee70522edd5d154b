import pyarrow.parquet as pq
import pytest
from enc.benchmarks import bench_start
from enc.benchmarks.bench_start import StartError, make_texts, write_texts


def test_bench_start(bench, tiny_bert, monkeypatch):
    """Every command is run once, to see that it does what is to be timed; the times are made up."""
    monkeypatch.setattr(bench_start, "_seconds", lambda words, _: 2.0 if words == ["import torch"] else 0.5)
    by_name, saved, printed = bench("start", "--model", tiny_bert)
    assert printed.startswith("# start")
    assert saved["baseline"] == 'python -c "import torch"'
    assert len(by_name) == 9
    assert {measured["ratio"] for measured in by_name.values()} == {1.0, 0.25}
    targets = {name: measured["remarks"].get("target") for name, measured in by_name.items()}
    assert targets.pop(saved["baseline"]) is None
    assert all(targets.values())


def test_the_time_of_a_process(tmp_path):
    environment = bench_start._environment(tmp_path)
    assert bench_start._seconds(["pass"], environment) > 0
    with pytest.raises(StartError, match="raise SystemExit"):
        bench_start._seconds(["raise SystemExit(3)"], environment)


def test_the_texts_are_distinct_and_the_known_ones_are_those_to_validate_on(tmp_path):
    write_texts(tmp_path)
    valid = (tmp_path / "valid.tsv").read_text(encoding="utf-8").splitlines()[1:]
    known = pq.read_table(tmp_path / "known.parquet")["sentence"].to_pylist()
    assert [line.split("\t")[0] for line in valid] == known
    assert len(set(make_texts(640))) == 640
    assert {line.split("\t")[1] for line in valid} == {"good", "bad"}


def test_a_command_that_fails_or_does_something_else_is_not_timed(monkeypatch, tmp_path):
    environment = bench_start._environment(tmp_path)
    with pytest.raises(StartError, match="store ls no-such-store failed: error: "):
        bench_start._output(["store", "ls", "no-such-store"], environment)
    command = bench_start._Command("name", [], 1.0, {"encoded": 0})
    monkeypatch.setattr(bench_start, "_output", lambda *_: '{"encoded": 3}')
    with pytest.raises(StartError, match=r"name: its summary has .*3.*, not .*0"):
        bench_start._check(command, environment)


def test_processes_write_bytecode(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = bench_start._environment(tmp_path)
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["XDG_CACHE_HOME"] == str(tmp_path / "cache")
