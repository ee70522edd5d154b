"""Builds by a first pass: that they are those of one process, and what interruptions leave."""

import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, encode_texts, load_encoder
from enc.engine.backends.registry import BACKENDS
from enc.engine.runners import build as builds
from enc.engine.runners import first_pass as passes
from enc.engine.runners.build import build_alone, build_with, first_pass_with, tasks_for
from enc.engine.runners.first_pass import first_pass_of_job
from enc.engine.runners.job import BuildJob
from enc.engine.runners.processes import Processes, build_in_processes
from enc.store import FeatureTable, Share, Source, SourceError, Store, StoreError, WorkspaceError
from enc.store.progress import heard_by
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


@pytest.fixture
def files(write, tmp_path):
    """Files of two formats, with texts that are in both, and rows that are no texts."""
    write(
        "a.tsv", "text\tlabel\n" + "".join(f"x{'x' * (i % 200)} {i % 9}\t1\n" for i in range(900)) + "\t1\n"
    )
    write("b.csv", 'text,label\n"xx 1",1\nodd\n"x, y",2\n,3\n"xx 1",4\n')
    return [tmp_path / "a.tsv", tmp_path / "b.csv"]


def job_of(source, store):
    return BuildJob.of(source, store, FakeEncoder(), name="set")


@pytest.fixture
def job(files, tmp_path):
    return job_of(Source(files), tmp_path / "store")


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


def test_pairs_that_are_encoded_apart_are_refused(write, tmp_path):
    source = Source(write("p.tsv", "a\tb\nx\ty\n"), text_column="a", pair_column="b", pairs="separate")
    with pytest.raises(SourceError, match="a first pass is for single texts and joint pairs"):
        build_with(InThisProcess(), job_of(source, tmp_path / "store"), Share(), first_pass="always")


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


def test_an_interrupted_first_pass_goes_on(job, files, tmp_path):
    team = InThisProcess()
    team.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        build_with(team, job, Share(), first_pass="always")
    assert len([name for name in work_of(job.store) if name.startswith("texts-")]) == 1
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    assert [task.file for task in team.tasks if not hasattr(task, "share")] == [str(files[1])]
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
    assert [task.file for task in team.tasks[:2]] == [str(files[0]), str(files[1])]
    require_like_one_process(summary, job, tmp_path / "one")


def test_a_worker_is_told_of_its_own_file_alone(job, files):
    team = InThisProcess()
    first_pass_with(team, job)
    told = [task.to_json() for task in team.tasks]
    assert len(told) == len(files)
    for number, one in enumerate(told):
        assert [str(file) in one for file in files] == [other == number for other in range(len(files))]


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


@pytest.fixture(scope="module")
def backend(tiny_bert):
    name = "openvino" if BACKENDS["openvino"].is_installed else "torch"
    encode_texts(load_encoder(tiny_bert, backend=name, max_length=16), ["good"])
    return name


def test_processes_whose_workers_are_killed_in_both_passes(files, tiny_bert, backend, tmp_path):
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
