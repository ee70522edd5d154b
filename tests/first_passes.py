"""Builds by a first pass in the process of a test, and what they are compared with."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from enc.engine import build_features
from enc.engine.runners.build import build_with
from enc.engine.runners.job import BuildJob
from enc.store import Share, Store
from enc.store.work import WORK_FOLDER
from fakes import FakeEncoder

COUNTS = (
    "rows",
    "distinct",
    "cached",
    "encoded",
    "truncated",
    "longest",
    "rejected",
    "rejects",
    "first_reject",
)


class InThisProcess:
    """A team whose workers are this process, with an encoder that costs nothing."""

    def __init__(self, workers: int = 2):
        self.workers, self.encoder, self.tasks = workers, FakeEncoder(), []
        self.stop_after = None

    def run(self, tasks):
        return [self._run(task) for task in tasks]

    def _run(self, task):
        if self.stop_after is not None and len(self.tasks) >= self.stop_after:
            raise KeyboardInterrupt
        self.tasks.append(task)
        if not hasattr(task, "share"):
            return task.run(progress=None, say=None)
        summary = task.job.build(task.share, first_pass=task.first_pass, load=lambda *_, **__: self.encoder)
        return vars(summary)


def job_of(source, store):
    return BuildJob.of(source, store, FakeEncoder(), name="set")


def features_of(store):
    rows = {}
    for shard in Store(store).open("set").shards:
        table = pq.read_table(shard, columns=["key", "n_tokens", "features"])
        for row in table.to_pylist():
            assert row["key"] not in rows, "a text is there twice"
            rows[row["key"]] = (row["n_tokens"], row["features"])
    return rows


def rejects_of(summary):
    return pq.read_table(summary.rejects_file).to_pylist()


def work_of(store):
    place = Path(store, WORK_FOLDER)
    return sorted(path.name for path in place.rglob("*") if path.is_file()) if place.exists() else []


def require_like_one_process(summary, job, one_store, encoder=None):
    one = build_features(job.source, one_store, encoder or FakeEncoder(), name="set")
    for count in COUNTS:
        assert getattr(summary, count) == getattr(one, count), count
    assert rejects_of(summary) == rejects_of(one)
    assert features_of(job.store) == features_of(one_store)


def require_going_on(job, pieces, one_store, *, first_pass):
    """A build that is broken off in its first pass, and then in its second one, goes on with other numbers
    of workers; ``first_pass`` is what the last build is asked for.
    """
    for stop_after, workers in ((3, 2), (pieces - 3 + 1, 3)):
        team = InThisProcess(workers)
        team.stop_after = stop_after
        with pytest.raises(KeyboardInterrupt):
            build_with(team, job, Share(), first_pass="always")
    team = InThisProcess(5)
    summary = build_with(team, job, Share(), first_pass=first_pass)
    assert [hasattr(task, "share") for task in team.tasks] == [True] * 5
    one = build_features(job.source, one_store, FakeEncoder(), name="set")
    for count in {*COUNTS} - {"encoded", "cached", "truncated", "longest"}:
        assert getattr(summary, count) == getattr(one, count), count
    assert features_of(job.store) == features_of(one_store)
