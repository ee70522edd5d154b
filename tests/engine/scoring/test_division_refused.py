"""What a team must not write: of inputs that change, of files that workers do not see, of unknown labels."""

import pyarrow.parquet as pq
import pytest
from divided import WORKERS, load
from enc.engine import score_parquet
from enc.engine.runners.team import Workers
from enc.store import LabelError, Source, SourceError, WorkerError


def test_an_unknown_label_is_told_before_heads_are_computed(world, head, team):
    source = Source(
        world / "known.parquet", query=f"SELECT *, 'odd' AS other FROM '{world / 'known.parquet'}'"
    )
    with pytest.raises(LabelError, match="odd"):
        score_parquet(
            source, world / "out.parquet", head, world / "store", workers=WORKERS, label_column="other"
        )
    assert team.orders == []
    assert not list(world.glob("out.parquet*"))


def test_an_input_that_changes_is_refused(world, head, team):
    source, out, run = Source(world / "rows.parquet"), world / "out.parquet", team.run

    def changed_meanwhile(tasks):
        found = run(tasks)
        table = pq.read_table(world / "rows.parquet")
        pq.write_table(table.slice(0, 90), world / "rows.parquet")
        return found

    team.run = changed_meanwhile
    with pytest.raises(SourceError, match="changed while it was read"):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    assert not out.exists()


def test_files_that_are_not_to_be_seen_are_told(world, head, team, monkeypatch):
    run = team.run

    def lost(tasks):
        found = run(tasks)
        for path in world.glob("*.enc-part/outputs-*/0-2.part"):
            path.unlink()
        return found

    team.run = lost
    with pytest.raises(WorkerError, match=r"1 of the files .* folder that all machines share"):
        score_parquet(
            Source(world / "known.parquet"), world / "out.parquet", head, world / "store", workers=WORKERS
        )
    assert not (world / "out.parquet").exists()


@pytest.mark.parametrize("file", ["missing-0.parquet", "plan.json"])
def test_a_worker_that_does_not_see_the_folder_says_so(world, head, team, file):
    run = team.run

    def unseen(tasks):
        for path in world.glob(f"*.enc-part/**/{file}"):
            path.unlink()
        return run(tasks)

    team.run = unseen
    with pytest.raises(
        WorkerError, match=f"the worker cannot see '.*{file}'.*folder that all machines share"
    ):
        score_parquet(Source(world / "rows.parquet"), world / "out.parquet", head, load=load, workers=WORKERS)
    assert not (world / "out.parquet").exists()


def test_nothing_is_kept_of_a_run_that_did_nothing(world, head, team):
    def broken(tasks):
        raise WorkerError("no such backend")

    team.run = broken
    with pytest.raises(WorkerError, match="no such backend"):
        score_parquet(Source(world / "rows.parquet"), world / "out.parquet", head, load=load, workers=WORKERS)
    assert not list(world.glob("out.parquet*"))


@pytest.mark.parametrize(
    ("options", "line"),
    [({"count": 0}, "0 workers do nothing"), ({"runner": "rya"}, "unknown runner 'rya'")],
)
def test_workers_that_cannot_be(options, line):
    with pytest.raises(WorkerError, match=line):
        Workers(**options)
