import os
import queue
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from enc.engine import build_features, encode_texts, load_encoder
from enc.engine.backends.registry import BACKENDS
from enc.engine.runners import processes
from enc.engine.runners.job import BuildJob
from enc.engine.runners.processes import build_in_processes, suitable_workers
from enc.engine.runners.worker_process import Messages, WorkerProcess
from enc.store import FeatureTable, Share, Source, WorkerError
from enc.store.duck import workspace
from enc.store.lookup import look_up
from enc.store.stage import stage_source
from fakes import Heard
from safetensors.numpy import load_file, save_file


@pytest.fixture
def source(write):
    rows = "".join(f"{'good ' * (i % 5)}{i}\n" for i in range(3000))
    return Source(write("rows.tsv", f"text\n{rows}\t\n"))


@pytest.fixture(scope="module")
def backend(tiny_bert):
    """One that starts soon in each worker: its graph is in the cache."""
    name = "openvino" if BACKENDS["openvino"].is_installed else "torch"
    encode_texts(load_encoder(tiny_bert, backend=name, max_length=16), ["good"])
    return name


@pytest.fixture
def job(source, tiny_bert, backend, tmp_path):
    encoder = load_encoder(tiny_bert, backend=backend, max_length=16)
    return BuildJob.of(source, tmp_path / "store", encoder, name="set", model=tiny_bert, backend=backend)


def stored(job: BuildJob) -> FeatureTable:
    return FeatureTable(os.path.join(job.store, job.name))


def worker_processes() -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "runners.worker"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def test_workers_build_what_one_process_does(job, source, tiny_bert, backend, tmp_path):
    heard, said = Heard(), []
    summary = build_in_processes(job, 2, progress=heard, say=said.append)
    one = build_features(
        source, tmp_path / "one", load_encoder(tiny_bert, backend=backend, max_length=16), name="set"
    )
    for field in ("rows", "distinct", "cached", "encoded", "truncated", "longest", "rejected", "rejects"):
        assert getattr(summary, field) == getattr(one, field)
    assert summary.encoded == 3000
    assert summary.rejected == 1
    assert {heard.of(stage)[-1] for stage in ("tokenizing", "encoding")} == {(3000, 3000)}
    assert any("loading" in line for line in said)
    assert worker_processes() == []
    with workspace() as con:
        found = look_up(stage_source(con, source), stored(job).shards)
    assert (found.missing, stored(job).rows) == (0, 3000)
    assert build_in_processes(job, 2).cached == 3000


def test_a_share_is_divided_among_workers_whatever_modules_lie_where_they_start(job, tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    first = build_in_processes(job, 2, share=Share(1, 2))
    second = build_in_processes(job, 2, share=Share(2, 2))
    assert (first.encoded + second.encoded, stored(job).rows) == (3000, 3000)
    assert min(first.encoded, second.encoded) > 1300


def test_a_killed_worker_starts_again(job):
    killed, said = [], []

    def kill(stage, done, total, remark):
        if not killed:  # at the first that is heard of them: all of their work is before them
            killed.extend(worker_processes())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    summary = build_in_processes(job, 2, progress=kill, say=said.append)
    assert any("was killed by signal 9; it starts again" in line for line in said)
    assert summary.encoded + summary.cached == stored(job).rows == 3000


def test_half_a_message_of_a_killed_worker_is_left_out():
    script = """print('{"progress": [1, 2]}'); print('{"pro', end='')"""
    messages: Messages = queue.Queue()
    worker = WorkerProcess(1, [0])
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker.read(process, messages)
    assert [messages.get_nowait()[1] for _ in range(messages.qsize())] == [{"progress": [1, 2]}, {"ended": 0}]


def test_one_that_is_killed_again_and_again_is_told(job, monkeypatch):
    monkeypatch.setattr(processes, "RETRIES", 1)

    def kill(stage, done, total, remark):
        for pid in worker_processes()[:1]:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"worker ./2 was killed by signal 9.*run this again"):
        build_in_processes(job, 2, progress=kill)
    assert worker_processes() == []


def test_an_interruption_ends_the_workers_and_keeps_what_is_encoded(job):
    def interrupt(stage, done, total, remark):
        if stage == "writing" and done > 0:  # rows that a worker has written, and commits as it ends
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_in_processes(job, 2, progress=interrupt)
    assert worker_processes() == []
    assert 0 < stored(job).rows <= 3000
    assert build_in_processes(job, 2).cached > 0


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"version": "0.0.1"}, "install the same version in both places"),
        ({"folder": "/no/such/folder"}, "folder that all machines share"),
        ({"backend": "nonsense"}, "nonsense"),
        ({"model": "/no/such/model"}, "/no/such/model"),
    ],
)
def test_what_a_worker_cannot_do_is_told(job, changes, line):
    with pytest.raises(WorkerError, match=line):
        build_in_processes(replace(job, **changes), 2)
    assert worker_processes() == []


def test_a_model_with_other_weights_is_refused(job, tiny_bert, tmp_path):
    shutil.copytree(tiny_bert, tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"] + 1
    save_file(weights, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    with pytest.raises(WorkerError, match="is not the one the features were made with"):
        build_in_processes(replace(job, model=str(tmp_path / "other")), 1)


def test_no_workers_are_refused(job):
    with pytest.raises(WorkerError, match="--workers 1 or more"):
        build_in_processes(job, 0)


def test_a_worker_has_four_cores(monkeypatch):
    monkeypatch.setattr(processes, "cuda_is_available", lambda: False)
    found = []
    for threads in (1, 2, 4, 15, 64):
        monkeypatch.setattr(processes, "cpu_threads", lambda threads=threads: threads)
        found.append(suitable_workers(None))
    assert found == [1, 1, 1, 3, 16]


@pytest.mark.parametrize(("workers", "cores"), [(1, [[0, 1, 2, 3, 4]]), (2, [[0, 1], [2, 3, 4]])])
def test_cores_are_divided(monkeypatch, workers, cores):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    monkeypatch.setattr(processes, "cpu_threads", lambda: 5)
    assert processes._cores(workers) == cores


def test_more_workers_than_cores_share_them(monkeypatch):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: {4, 6}, raising=False)
    monkeypatch.setattr(processes, "cpu_threads", lambda: 2)
    assert processes._cores(3) == [[4], [6], [4]]
