"""Builds by a first pass of pairs whose texts are encoded apart: that they are those of one process."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features
from enc.engine.runners.build import build_alone, build_with, first_pass_with
from enc.engine.runners.first_pass import first_pass_of_job
from enc.store import Share, Source
from enc.store.first_pass import part_facts
from fakes import FakeEncoder
from first_passes import COUNTS, InThisProcess, features_of, job_of, require_like_one_process, work_of


@pytest.fixture
def job(tmp_path, small_pieces):
    """Of pieces, with texts in both columns, in several pieces, twice in a row, and pairs that lack one."""
    first = [None if i % 50 == 3 else f"x{'y' * (i % 40)} {i % 3}" for i in range(300)]
    second = [" " if i % 60 == 9 else f"x{'y' * (i % 50)} 1" if i % 2 else f"z{i % 7}" for i in range(300)]
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"a": first, "b": second, "n": range(300)}), path, row_group_size=50)
    return job_of(Source(path, text_column="a", pair_column="b", pairs="separate"), tmp_path / "store")


@pytest.mark.parametrize("workers", [1, 3])
def test_a_build_is_that_of_one_process(job, tmp_path, workers):
    team = InThisProcess(workers)
    summary = build_with(team, job, Share(), first_pass="always")
    assert len(team.tasks) > workers + 1
    assert (summary.rows, summary.rejected) == (300, 11)
    require_like_one_process(summary, job, tmp_path / "one")
    assert work_of(job.store) == []
    again = build_with(InThisProcess(), job, Share(), first_pass="always")
    assert (again.encoded, again.cached) == (0, summary.encoded)


def test_texts_are_those_of_single_texts(job, tmp_path):
    """They are known where either column was built by itself."""
    build_with(InThisProcess(), job, Share(), first_pass="always")
    (file,) = job.source.names
    for column in ("a", "b"):
        source = Source(file, text_column=column, where="a IS NOT NULL AND trim(b) <> ''")
        assert build_features(source, job.store, FakeEncoder(), name="set").encoded == 0


def test_shares_add_up_and_rows_are_pairs(job, tmp_path):
    told = first_pass_with(InThisProcess(), job)
    one = build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
    assert (told.rows, told.rejected, told.rejects) == (one.rows, one.rejected, one.rejects)
    counts = [build_with(InThisProcess(2), job, Share(number, 3)) for number in (3, 1, 2)]
    for name in ("rows", "distinct", "encoded", "rejected"):
        assert sum(getattr(count, name) for count in counts) == getattr(one, name)
    assert features_of(job.store) == features_of(tmp_path / "one")
    alone = build_alone(job.source, job.store, FakeEncoder(), name="set")  # by what lies there
    assert [getattr(alone, name) for name in ("rows", "distinct", "cached", "rejected", "first_reject")] == [
        one.rows,
        one.distinct,
        one.distinct,
        one.rejected,
        one.first_reject,
    ]
    assert work_of(job.store) == []


def test_what_was_broken_off_goes_on(job, tmp_path):
    for stop_after, workers in ((2, 2), (3, 3)):
        team = InThisProcess(workers)
        team.stop_after = stop_after
        with pytest.raises(KeyboardInterrupt):
            build_with(team, job, Share(), first_pass="always")
    summary = build_with(InThisProcess(), job, Share())
    one = build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
    for name in {*COUNTS} - {"encoded", "cached", "truncated", "longest"}:
        assert getattr(summary, name) == getattr(one, name), name
    assert features_of(job.store) == features_of(tmp_path / "one")


def test_lines_of_a_text_file_hold_pairs_too(write, tmp_path, small_text_pieces):
    rows = "".join(f"x{'y' * (i % 40)}\tz{i % 7}\n" for i in range(400))
    source = Source(
        write("pairs.tsv", f"a\tb\n{rows}x\t\nfew\n{rows}"),
        text_column="a",
        pair_column="b",
        pairs="separate",
    )
    job = job_of(source, tmp_path / "store")
    first_pass_with(InThisProcess(), job)
    require_like_one_process(build_with(InThisProcess(), job, Share()), job, tmp_path / "one")


def test_parts_hold_texts_of_a_key_each(job):
    first_pass_with(InThisProcess(), job)
    first_pass = first_pass_of_job(job)
    for part, facts in zip(first_pass.parts, part_facts(first_pass), strict=True):
        table = pq.read_table(first_pass.place / part)
        assert table.column("pair").null_count == len(table) == facts.distinct
        assert sum(table.column("rows").to_pylist()) == facts.rows
