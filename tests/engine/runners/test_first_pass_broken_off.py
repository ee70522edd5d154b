"""What interruptions, changes and damage make of builds by a first pass."""

import os
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, encode_texts, load_encoder
from enc.engine.backends.registry import BACKENDS
from enc.engine.runners import first_pass as passes
from enc.engine.runners.build import build_with, first_pass_with
from enc.engine.runners.first_pass import first_pass_of_job
from enc.engine.runners.job import BuildJob
from enc.engine.runners.processes import Processes, build_in_processes
from enc.store import Share, Source, SourceError, Store, StoreError, WorkspaceError
from enc.store.progress import heard_by
from fakes import FakeEncoder
from first_passes import COUNTS, InThisProcess, features_of, job_of, require_like_one_process, work_of


def test_an_interrupted_first_pass_goes_on(job, files, tmp_path):
    team = InThisProcess()
    team.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        build_with(team, job, Share(), first_pass="always")
    assert len([name for name in work_of(job.store) if name.startswith("texts-")]) == 1
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    assert [task.piece.file for task in team.tasks if not hasattr(task, "share")] == [str(files[1])]
    require_like_one_process(summary, job, tmp_path / "one")


def test_an_interrupted_build_goes_on(job, tmp_path):
    team = InThisProcess()
    team.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        build_with(team, job, Share(), first_pass="always")
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    assert len(team.tasks) == 2
    assert summary.cached > 0
    assert team.encoder.encoded == summary.encoded == summary.distinct - summary.cached
    build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
    assert features_of(job.store) == features_of(tmp_path / "one")


def test_a_file_that_changed_since_is_read_anew(job, files, tmp_path):
    first_pass_with(InThisProcess(), job)
    os.utime(files[0], ns=(1, 1))
    files[1].write_text('text,label\n"new text",1\n')
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    assert [task.piece.file for task in team.tasks[:2]] == [str(files[0]), str(files[1])]
    require_like_one_process(summary, job, tmp_path / "one")


def test_a_file_that_changes_during_the_first_pass_is_told(job, files):
    team = InThisProcess()
    run = team.run

    def changing(tasks):
        found = run(tasks)
        files[1].write_text('text,label\n"new text",1\n')
        return found

    team.run = changing
    with pytest.raises(SourceError, match="changed while they were read; run this again"):
        build_with(team, job, Share(), first_pass="always")


def test_a_part_that_is_gone_or_damaged_is_told(job):
    first_pass_with(InThisProcess(), job)
    first_pass = first_pass_of_job(job)
    part = first_pass.place / first_pass.parts[0]
    whole = part.read_bytes()
    damaged = bytearray(whole)
    damaged[200] ^= 1
    for content in (bytes(damaged), whole[:-100], b""):
        part.write_bytes(content)
        with pytest.raises(StoreError, match=r"is damaged .*remove the folder"):
            build_with(InThisProcess(), job, Share(1, 2))
    part.unlink()
    with pytest.raises(StoreError, match="is gone: another build of the same source may have ended"):
        build_features(job.source, job.store, FakeEncoder(), name="set", first_pass=first_pass)


def test_a_disk_without_room_is_told_before(job, monkeypatch):
    monkeypatch.setattr(passes, "free_bytes", lambda _: 1000)
    with pytest.raises(WorkspaceError, match=r"needs about .* MB in .*free some space, or pass --first-pass"):
        build_with(InThisProcess(), job, Share(), first_pass="always")
    assert work_of(job.store) == []


@pytest.fixture(scope="module")
def backend(tiny_bert):
    name = "openvino" if BACKENDS["openvino"].is_installed else "torch"
    encode_texts(load_encoder(tiny_bert, backend=name, max_length=16), ["good"])
    return name


@pytest.mark.usefixtures("small_pieces", "small_text_pieces")
def test_processes_whose_workers_are_killed_in_both_passes(files, tiny_bert, backend, tmp_path):
    large = tmp_path / "large.parquet"
    pq.write_table(
        pa.table({"text": [f"{'x' * (i % 50)} {i}" for i in range(300)]}), large, row_group_size=50
    )
    files.append(large)
    encoder = load_encoder(tiny_bert, backend=backend, max_length=16)
    job = BuildJob.of(
        Source(files), tmp_path / "store", encoder, name="set", model=tiny_bert, backend=backend
    )
    killed, said = [], []

    def kill(stage, done, total, remark):
        if stage in ("sorting", "encoding") and stage not in killed:
            killed.append(stage)
            for worker in team._team:
                if worker.process:
                    os.kill(worker.process.pid, signal.SIGKILL)

    with Processes(2, None, said.append) as team, heard_by(kill):
        summary = build_with(team, job, Share(), first_pass="always")
    assert killed == ["sorting", "encoding"]
    assert sum("was killed by signal 9; it starts again" in line for line in said) >= 2
    one = build_features(Source(files), tmp_path / "one", encoder, name="set")
    assert summary.encoded + summary.cached == one.encoded
    assert summary.rejected == one.rejected
    assert features_of(job.store).keys() == features_of(tmp_path / "one").keys()
    assert work_of(job.store) == []
    assert build_in_processes(job, 2, first_pass="always").cached == one.encoded


@pytest.mark.parametrize("every", [0, 5])
def test_source_and_store_may_lie_in_an_object_store(objects, files, tmp_path, every):
    for path in files:
        objects.objects[f"in/{path.name}"] = (path.read_bytes(), 1.0)
    objects.every = every
    job = job_of(Source(["s3://bucket/in/a.tsv", "s3://bucket/in/*.csv"]), "s3://bucket/store")
    told = first_pass_with(InThisProcess(), job)
    assert [name for name in objects.objects if name.startswith("store/_work/")]
    team = InThisProcess()
    summary = build_with(team, job, Share())
    assert {task.first_pass.folder for task in team.tasks} == {told.folder}
    objects.every = 0
    assert not [name for name in objects.objects if "_work" in name]
    one = build_features(Source(files), tmp_path / "one", FakeEncoder(), name="set")
    for count in COUNTS[:-1]:
        assert getattr(summary, count) == getattr(one, count), count
    assert summary.first_reject.startswith("s3://bucket/in/a.tsv, row 901: ")
    assert Store("s3://bucket/store").open("set").rows == one.distinct
    objects.objects["in/b.csv"] = (b"text,label\nanother,1\n", 2.0)
    told = first_pass_with(InThisProcess(), job)
    assert (told.read, told.rows) == (2, 902)  # the folder is gone, and one file is another


@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_of_two_builds_at_once_the_last_one_removes_the_parts(objects, files, tmp_path, is_remote, at):
    """One runs from its beginning to its end while the other is in its first pass, or in its second."""
    store = "s3://bucket/store" if is_remote else str(tmp_path / "store")
    job = job_of(Source(files), store)
    team, other = InThisProcess(), InThisProcess()
    run, ended = team._run, []

    def beside(task):
        if len(team.tasks) == at and not ended:
            ended.append(build_with(other, job, Share(), first_pass="always"))
            assert first_pass_of_job(job).missing() == []
        return run(task)

    team._run = beside
    summary = build_with(team, job, Share(), first_pass="always")
    one = build_features(Source(files), tmp_path / "one", FakeEncoder(), name="set")
    assert summary.encoded + ended[0].encoded == one.encoded == Store(store).open("set").rows
    assert (summary.rows, summary.rejected, ended[0].rejected) == (one.rows, one.rejected, one.rejected)
    assert work_of(tmp_path / "store") == []
    assert not [name for name in objects.objects if "_work" in name]
