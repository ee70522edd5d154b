"""What a team had computed when it was interrupted is taken up, where it is sound and of the same run."""

import json

import pytest
from divided import WORKERS, counts_of, load
from enc.engine import score_parquet
from enc.engine.scoring.unfinished import OtherRun, Unfinished
from enc.store import Source


@pytest.mark.parametrize("after", [0, 1, 2, 4, 7])
def test_an_interrupted_team_goes_on(world, head, team, monkeypatch, after):
    monkeypatch.setattr("enc.engine.scoring.division._TEXTS_PER_WORKER", 15)
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    whole = score_parquet(source, world / "whole.parquet", head, load=load, proba=True)
    team.breaks_after = after
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, proba=True, workers=WORKERS)
    assert out.with_name("out.parquet.enc-part").exists() == (after > 0)
    first = team.orders[:]
    team.breaks_after, team.orders = 1 << 30, []
    said = []
    again = score_parquet(source, out, head, load=load, proba=True, workers=WORKERS, say=said.append)
    assert any("going on" in line for line in said) == (after > 0)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()
    assert counts_of(again) == counts_of(whole)
    parts = {json.loads(json.loads(order)["task"]).get("part") for order in first} - {None}
    again_parts = {json.loads(json.loads(order)["task"]).get("part") for order in team.orders} - {None}
    assert not parts & again_parts
    assert len(parts | again_parts) == 7
    assert not list(world.glob("*.enc-part"))


def test_one_process_goes_on_with_what_a_team_began(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    whole = score_parquet(source, world / "whole.parquet", head, load=load)
    team.breaks_after = 3
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)

    def no_encoder(spec):
        raise AssertionError("everything is encoded")

    again = score_parquet(source, out, head, load=no_encoder)
    assert counts_of(again) == counts_of(whole)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_part_that_is_damaged_is_computed_again(world, head, team, damage):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    score_parquet(source, world / "whole.parquet", head, load=load)
    team.breaks_after = 4
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    [part] = world.glob("*.enc-part/outputs-*/0-1.part")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 4
    part.write_bytes(content if damage == "flipped" else content[:100])
    if damage == "gone":
        part.unlink()
    team.breaks_after = 1 << 30
    score_parquet(source, out, head, load=load, workers=WORKERS)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


def test_parts_of_another_head_are_not_taken(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    other = head.replace(weights={name: one * 2 for name, one in head.weights.items()})
    team.breaks_after = 4
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, other, load=load, workers=WORKERS)
    left = {path.name: path.read_bytes() for path in world.glob("*.enc-part/outputs-*/*")}
    [folder] = world.glob("*.enc-part/outputs-*")
    team.breaks_after = 1 << 30
    with pytest.raises(OtherRun):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    run = team.run

    def beside_a_worker_of_the_killed_run(tasks):
        folder.mkdir(exist_ok=True)
        for name, content in left.items():
            (folder / name).write_bytes(content)
        return run(tasks)

    team.run = beside_a_worker_of_the_killed_run
    score_parquet(source, out, head, load=load, workers=WORKERS, overwrite=True)
    score_parquet(source, world / "whole.parquet", head, load=load)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


def test_another_choice_of_columns_takes_the_same_parts(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    team.breaks_after = 4
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    team.breaks_after, team.orders = 1 << 30, []
    score_parquet(source, out, head, load=load, workers=WORKERS, proba=True)
    assert len(team.orders) == 7 - 3
    score_parquet(source, world / "whole.parquet", head, load=load, proba=True)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


def test_the_folder_that_is_left_is_cleared_by_another_run(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    team.breaks_after = 3
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    with Unfinished(out) as kept:
        assert kept.is_begun
    team.breaks_after = 1 << 30
    score_parquet(source, out, head, load=load, workers=WORKERS, overwrite=True, threshold=0.5)
    assert not list(world.glob("*.enc-part"))
