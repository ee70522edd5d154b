"""Builds by a first pass: that they are those of one process."""

import os
from pathlib import Path

import pytest
from enc.engine import build_features
from enc.engine.runners import build as builds
from enc.engine.runners.build import build_alone, build_with, first_pass_with, tasks_for
from enc.store import FeatureTable, Share, Source, StoreError
from enc.store.work import remove_work
from fakes import FakeEncoder
from first_passes import COUNTS, InThisProcess, features_of, job_of, require_like_one_process, work_of


@pytest.mark.parametrize("workers", [1, 3])
def test_a_build_by_a_first_pass_is_that_of_one_process(job, tmp_path, workers):
    team = InThisProcess(workers)
    summary = build_with(team, job, Share(), first_pass="always")
    assert team.encoder.encoded == summary.encoded > 150
    assert work_of(job.store) == []
    require_like_one_process(summary, job, tmp_path / "one")
    again = build_with(InThisProcess(), job, Share(), first_pass="always")
    assert (again.encoded, again.cached) == (0, summary.encoded)


def test_pairs_are_built_by_a_first_pass(write, tmp_path):
    rows = "".join(f"x{'y' * (i % 40)}\tz{i % 7}\n" for i in range(300))
    source = Source(write("pairs.tsv", f"a\tb\n{rows}x\t\n\t\n"), text_column="a", pair_column="b")
    job = job_of(source, tmp_path / "store")
    require_like_one_process(
        build_with(InThisProcess(), job, Share(), first_pass="always"), job, tmp_path / "one"
    )


def test_a_query_and_a_condition_are_read_as_ever(files, tmp_path):
    for number, source in enumerate(
        [
            Source(files, where="label > '1'"),
            Source(files[0], query=f"SELECT text || ' y' AS text FROM read_csv('{files[0]}', delim='\t')"),
        ]
    ):
        job = job_of(source, tmp_path / f"store-{number}")
        summary = build_with(InThisProcess(), job, Share(), first_pass="always")
        one = build_features(source, tmp_path / f"one-{number}", FakeEncoder(), name="set")
        assert [getattr(summary, name) for name in COUNTS] == [getattr(one, name) for name in COUNTS]
        assert features_of(job.store) == features_of(tmp_path / f"one-{number}")


def test_few_workers_scan_and_many_do_not(job, monkeypatch):
    team = InThisProcess(2)
    build_with(team, job, Share())
    assert {task.first_pass for task in team.tasks} == {None}
    monkeypatch.setattr(builds, "MOST_SCANNING", 1)
    team = InThisProcess(2)
    build_with(team, job, Share())
    assert len(team.tasks) == 2 + 2  # files, and shares
    team = InThisProcess(2)
    build_with(team, job, Share(), first_pass="never")
    assert {task.first_pass for task in team.tasks} == {None}


def test_a_share_uses_a_first_pass_that_lies_there(job, tmp_path):
    told = first_pass_with(InThisProcess(), job)
    assert (told.files, told.read, told.rejected) == (2, 2, 3)
    counts = []
    for number in (1, 2, 3):
        team = InThisProcess(2)
        counts.append(build_with(team, job, Share(number, 3)))
        assert {task.first_pass.folder for task in team.tasks} == {told.folder}
    one = build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
    for name in ("rows", "distinct", "encoded", "rejected"):
        assert sum(getattr(count, name) for count in counts) == getattr(one, name)
    assert work_of(job.store)  # another share may need it
    assert first_pass_with(InThisProcess(), job).read == 0


def test_one_process_uses_a_first_pass_that_lies_there(job, tmp_path):
    first_pass_with(InThisProcess(), job)
    encoder = FakeEncoder()
    half = build_alone(job.source, job.store, encoder, name="set", share=Share(2, 2))
    assert work_of(job.store)
    scanned = build_alone(job.source, job.store, encoder, name="set", share=Share(1, 2), use_first_pass=False)
    assert encoder.encoded == half.encoded + scanned.encoded
    whole = build_alone(job.source, job.store, encoder, name="set")
    assert (whole.encoded, whole.rows) == (0, half.rows + scanned.rows)
    assert work_of(job.store) == []


def test_a_first_pass_that_goes_when_it_was_found_is_not_used(job, tmp_path, monkeypatch):
    find = builds.finished_first_pass

    def found_late(*asked):
        found = find(*asked)
        assert remove_work(found.place)  # by another build, which has ended
        return found

    first_pass_with(InThisProcess(), job)
    monkeypatch.setattr(builds, "finished_first_pass", found_late)
    summary = build_alone(job.source, job.store, FakeEncoder(), name="set")
    monkeypatch.undo()
    require_like_one_process(summary, job, tmp_path / "one")
    assert work_of(job.store) == []


def test_a_worker_is_told_of_its_own_file_alone(job, files):
    team = InThisProcess()
    first_pass_with(team, job)
    told = [task.to_json() for task in team.tasks]
    assert len(told) == len(files)
    for number, one in enumerate(told):
        assert [str(file) in one for file in files] == [other == number for other in range(len(files))]


def test_a_share_opens_no_shard_without_keys_of_it(job):
    build_with(InThisProcess(2), job, Share(), first_pass="always")
    first, second = sorted(
        FeatureTable(os.path.join(job.store, "set")).logged,
        key=lambda shard: FeatureTable(os.path.join(job.store, "set")).key_bounds[Path(shard.path).name],
    )
    Path(second.path).write_bytes(b"damaged")
    assert build_with(InThisProcess(1), job, Share(1, 2)).encoded == 0
    with pytest.raises(StoreError, match=Path(second.path).name):
        build_with(InThisProcess(1), job, Share(2, 2))
    assert Path(first.path).exists()


def test_as_many_shares_for_each_worker_as_there_are_rows():
    assert tasks_for(4, 1000) == 4
    assert tasks_for(4, 10**7) == 8
    assert tasks_for(16, 10**9) == 256
    assert tasks_for(100, 10**9) == 200
    assert tasks_for(300, 10**9) == 300
