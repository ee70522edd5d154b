import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import task_kinds
from enc.engine.runners.processes import Processes, run_in_processes
from enc.engine.runners.stages import Stages
from enc.engine.runners.task import order_of, task_of
from enc.store import WorkerError
from enc.store.progress import heard_by
from fakes import Heard
from task_kinds import Square


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers import the kinds of task of these tests, too."""
    folder = str(Path(task_kinds.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def squares(tmp_path):
    return [Square(number, str(tmp_path)) for number in range(1, 7)]


def begun(squares):
    """How often each task was begun."""
    marks = [Path(one.folder, f"begun-{one.number}") for one in squares]
    return [len(mark.read_text()) if mark.exists() else 0 for mark in marks]


def test_two_workers_do_six_tasks_and_results_are_in_order(squares):
    heard, said = Heard(), []
    found = run_in_processes(squares, 2, progress=heard, say=said.append)
    assert [one["square"] for one in found] == [1, 4, 9, 16, 25, 36]
    assert len({one["process"] for one in found}) <= 2
    assert begun(squares) == [1] * 6
    assert heard.of("working")[-1] == (12, 12)
    assert {total for _, total in heard.of("working")} == {12}
    assert said == ["at work"]  # of the first worker, and once


def test_processes_serve_several_runs(squares):
    with Processes(1) as team:
        first, second = team.run(squares[:1]), team.run(squares[1:2])
    assert first[0]["process"] == second[0]["process"]
    assert run_in_processes([], 2) == []


def test_a_task_whose_worker_is_killed_begins_again_and_no_other(squares):
    squares[2] = replace(squares[2], kills=2)
    said = []
    found = run_in_processes(squares, 2, say=said.append)
    assert [one["square"] for one in found] == [1, 4, 9, 16, 25, 36]
    assert begun(squares) == [1, 1, 3, 1, 1, 1]
    assert said.count("worker 3/9 was killed by signal 9; it starts again") == 2


def test_the_first_error_ends_all(squares):
    squares[1] = replace(squares[1], fails=True)
    with pytest.raises(WorkerError, match="2 has no square"):
        run_in_processes(squares, 1)
    assert begun(squares) == [1, 1, 0, 0, 0, 0]


def test_one_that_breaks_is_told_with_its_last_words(squares):
    squares[0] = replace(squares[0], breaks=True)
    with pytest.raises(WorkerError, match=r"worker 1/9 ended with exit code 1 \(ZeroDivisionError: broken\)"):
        run_in_processes(squares[:1], 1)


def test_an_order_of_another_enc_is_refused(squares):
    order = json.loads(order_of(squares[0]))
    with pytest.raises(WorkerError, match=r"and enc 0\.0\.1 started the work; install the same version"):
        task_of(json.dumps(order | {"version": "0.0.1"}))


def test_what_silent_tasks_have_to_do_is_taken_from_the_others():
    heard = Heard()
    with heard_by(heard):
        stages = Stages(3)
        stages.hear(0, "encoding", 0, 10)
        stages.hear(1, "encoding", 5, 20)
        stages.begin_again(1)
        stages.end(2)  # it had nothing to encode
        stages.hear(1, "encoding", 20, 20)
        stages.end(1)
    told = heard.of("encoding")
    assert told == [(0, 30), (5, 45), (0, 20), (20, 30), (20, 30)]


def test_ray_does_them_too(squares):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'enc-features[ray]'")
    from enc.engine.runners.ray_tasks import run_with_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    heard = Heard()
    try:
        squares[2] = replace(squares[2], kills=1)
        found = run_with_ray(squares, 2, progress=heard)
        with pytest.raises(WorkerError, match="4 has no square"):
            run_with_ray([replace(squares[3], fails=True)], None)
    finally:
        ray.shutdown()
    assert [one["square"] for one in found] == [1, 4, 9, 16, 25, 36]
    assert {one["threads"] for one in found} == {"1"}
    assert begun(squares) == [1, 1, 2, 2, 1, 1]
    assert heard.of("working")[0] == (0, 6)
    assert heard.of("working")[-1] == (6, 6)


def test_a_task_that_fails_ends_the_others_of_ray_which_keep_what_they_have(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'enc-features[ray]'")
    from enc.engine.runners.ray_tasks import run_with_ray

    with pytest.raises(WorkerError, match="2 has no square"):
        run_with_ray([Square(1, str(tmp_path), waits=True), Square(2, str(tmp_path), fails=True)], 2)
    assert (tmp_path / "kept-1").exists()
