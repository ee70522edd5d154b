"""Builds by a first pass over pieces of one large Parquet file: that they are those of one process."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features
from enc.engine.runners.build import build_with, first_pass_with
from enc.engine.runners.first_pass import PartTask, folder_of_job
from enc.store import Share, Source, WorkspaceError
from enc.store.source_parts import parts_of
from fakes import FakeEncoder
from first_passes import (
    COUNTS,
    InThisProcess,
    features_of,
    job_of,
    require_going_on,
    require_like_one_process,
    work_of,
)


@pytest.fixture(autouse=True)
def _small_pieces(small_pieces):
    """Of all files."""


@pytest.fixture
def file(tmp_path):
    """With texts that are in several pieces, and rows that are no texts."""
    texts = [
        " " if i % 90 == 7 else None if i % 101 == 3 else f"x{'x' * (i % 150)} {i % 4}" for i in range(900)
    ]
    pairs = [f"y{'y' * (i % 11)}" for i in range(900)]
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table({"text": texts, "other": pairs, "n": range(900)}), path, row_group_size=50)
    return path


def pieces_of(job):
    return parts_of(job.source, folder_of_job(job))


@pytest.mark.parametrize(
    "options",
    [{}, {"where": "n % 7 > 2 OR text IS NULL"}, {"text_column": "text", "pair_column": "other"}],
)
def test_a_build_over_pieces_is_that_of_one_process(file, tmp_path, options):
    job = job_of(Source(file, **options), tmp_path / "store")
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    assert len(team.tasks) == len(pieces_of(job)) + 2 > 6
    assert summary.rejected > 5
    require_like_one_process(summary, job, tmp_path / "one")
    assert work_of(job.store) == []


def test_shares_of_a_first_pass_over_pieces_add_up(file, tmp_path):
    job = job_of(Source(file), tmp_path / "store")
    told = first_pass_with(InThisProcess(), job)
    assert (told.files, told.read, told.parts, told.rows) == (
        1,
        1,
        len(pieces_of(job)),
        900,
    )
    counts = [build_with(InThisProcess(1), job, Share(number, 3)) for number in (3, 1, 2)]
    one = build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
    for name in ("rows", "distinct", "encoded", "rejected"):
        assert sum(getattr(count, name) for count in counts) == getattr(one, name)
    assert told.rejects == one.rejects
    assert features_of(job.store) == features_of(tmp_path / "one")
    assert first_pass_with(InThisProcess(), job).read == 0


def test_what_was_broken_off_goes_on_with_another_number_of_workers(file, tmp_path):
    job = job_of(Source(file), tmp_path / "store")
    require_going_on(job, len(pieces_of(job)), tmp_path / "one", first_pass="always")


def test_a_file_in_pieces_may_lie_in_an_object_store(objects, file, tmp_path):
    objects.objects["in/big.parquet"] = (file.read_bytes(), 1.0)
    objects.every = 7
    job = job_of(Source("s3://bucket/in/*.parquet"), "s3://bucket/store")
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    assert len(team.tasks) > 6
    one = build_features(Source(file), tmp_path / "one", FakeEncoder(), name="set")
    for count in COUNTS[:-1]:
        assert getattr(summary, count) == getattr(one, count), count
    assert summary.first_reject == one.first_reject.replace(str(file), "s3://bucket/in/big.parquet")


def test_a_worker_is_told_of_its_piece(file, tmp_path):
    team = InThisProcess()
    first_pass_with(team, job_of(Source(file), tmp_path / "store"))
    told = [json.loads(task.to_json())[3]["groups"] for task in team.tasks]
    assert sum(groups["rows"] for groups in told) == 900
    assert [PartTask.from_json(task.to_json()) for task in team.tasks] == team.tasks


def test_room_is_asked_for_the_pieces_that_are_missing(file, tmp_path, monkeypatch):
    from enc.engine.runners import first_pass as passes

    job = job_of(Source(file), tmp_path / "store")
    team = InThisProcess()
    team.stop_after = len(pieces_of(job)) - 1
    with pytest.raises(KeyboardInterrupt):
        first_pass_with(team, job)
    monkeypatch.setattr(passes, "free_bytes", lambda _: file.stat().st_size // 2)
    assert first_pass_with(InThisProcess(), job).parts == len(pieces_of(job))
    other = job_of(Source(file, where="n > 0"), tmp_path / "store")
    with pytest.raises(WorkspaceError, match="the first pass needs about"):
        first_pass_with(InThisProcess(), other)
