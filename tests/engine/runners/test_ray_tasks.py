import os
import sys
from dataclasses import replace

import pytest
from enc.engine import load_encoder
from enc.engine.runners import ray_tasks
from enc.engine.runners.job import BuildJob
from enc.engine.runners.ray_tasks import build_with_ray
from enc.store import FeatureTable, Source, Store, WorkerError


@pytest.fixture(scope="module")
def cluster():
    """A Ray of its own, of two cores."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'enc-features[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def job(write, tiny_bert, tmp_path):
    rows = "".join(f"{'good ' * (i % 5)}{i}\n" for i in range(500))
    encoder = load_encoder(tiny_bert, backend="torch", max_length=16)
    source = Source(write("rows.tsv", f"text\n{rows}\t\n"))
    return BuildJob.of(source, tmp_path / "store", encoder, name="set", model=tiny_bert, backend="torch")


def test_an_address_where_nothing_is_is_told(job, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'enc-features[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(WorkerError, match=r"RAY_ADDRESS=127\.0\.0\.1:1"):
        build_with_ray(job, 2)


def test_tasks_build_shares(cluster, job):
    seen = []
    summary = build_with_ray(job, 2, progress=lambda *told: seen.append(told))
    assert (summary.encoded, summary.rejected) == (500, 1)
    assert seen[0] == ("working", 0, 2, "")
    assert seen[-1] == ("working", 2, 2, "")
    table: FeatureTable = Store(job.store).open()
    assert table.rows == 500
    assert len(table.shards) == 2
    assert build_with_ray(job, None).cached == 500
    assert cluster.is_initialized()  # it was running before


def test_tasks_build_by_a_first_pass(cluster, job):
    seen = []
    summary = build_with_ray(job, 2, first_pass="always", progress=lambda *told: seen.append(told))
    assert (summary.rows, summary.encoded, summary.rejected) == (501, 500, 1)
    assert ("working", 1, 1, "") in seen  # the file's part
    assert seen[-1] == ("working", 2, 2, "")
    assert Store(job.store).open().rows == 500
    assert not os.path.exists(os.path.join(job.store, "_work"))


def test_a_task_has_as_many_threads_as_processors(cluster, job, monkeypatch):
    monkeypatch.setattr(ray_tasks, "do_task", threads_of_task)
    with pytest.raises(WorkerError, match="1 threads"):
        build_with_ray(job, 1)


def threads_of_task(order, flag):
    return {"error": f"{os.environ.get('OMP_NUM_THREADS')} threads"}


def test_a_cluster_too_small_for_one_task_is_told(cluster, job):
    with pytest.raises(WorkerError, match=r"has 64 CPUs and 0 GPUs.*the largest has 2 and 0: pass --cpus-"):
        build_with_ray(job, 1, cpus_per_worker=64)
    with pytest.raises(WorkerError, match="has 1 CPUs and 2 GPUs"):
        build_with_ray(job, 1, gpus_per_worker=2)


@pytest.mark.parametrize(
    ("changes", "line"),
    [({"version": "0.0.1"}, "install the same version"), ({"model": "/no/such/model"}, "/no/such/model")],
)
def test_what_a_task_cannot_do_is_told(cluster, job, changes, line):
    with pytest.raises(WorkerError, match=line):
        build_with_ray(replace(job, **changes), 2)


def test_without_ray_the_command_that_adds_it_is_told(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkerError, match=r"pip install 'enc-features\[ray\]'"):
        build_with_ray(job, 2)
