"""Commands that are killed at seeded points lose nothing that was committed, and double nothing.

ENC_FAULTS=N runs N kills in place of a few; see the Makefile's target `faults`.
"""

import json
import os
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fault_world import World

KILLS = int(os.environ.get("ENC_FAULTS", "4"))
KILLS_PER_WORLD = 25
COMMANDS = ["build"] * 8 + ["score"] * 3 + ["compact"] * 4 + ["delete"] * 3 + ["vacuum"] * 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_bert) -> Path:
    """A head of features that are built apart, and what it predicts."""
    made = World(tmp_path_factory.mktemp("trained"), tiny_bert)
    made.run("build")
    made.run("train")
    made.run("score")
    return made.folder


@pytest.mark.parametrize("number", range(-(-KILLS // KILLS_PER_WORLD)))
def test_kills(tmp_path, tiny_bert, trained, number):
    seed = int(os.environ.get("ENC_FAULTS_SEED", "0")) + number
    chosen, world, counts = random.Random(seed), World(tmp_path / "world", tiny_bert), Counter()
    (world.folder / "head").symlink_to(trained / "head")
    expected = pq.read_table(trained / "out.parquet").column("prediction").to_pylist()
    wanted = min(KILLS_PER_WORLD, KILLS - number * KILLS_PER_WORLD)
    while counts["killed"] < wanted:
        command = "build" if not world.features else chosen.choice(COMMANDS)
        kind, was_killed = world.run_and_kill(command, chosen)
        if was_killed:
            counts["killed"] += 1
            counts[f"{command}, {kind}"] += 1
        if command == "build":
            world.check("delete" if world.doomed else "build")
        else:
            world.check(command)
        out = world.folder / "out.parquet"
        if out.exists():  # whole, or not at all
            assert pq.read_table(out).column("prediction").to_pylist() == expected
            out.unlink()
    counts["MB of texts left in the temporary folder"] = world.size_of_temporary() // 1_000_000
    world.finish()
    world.run("score")
    assert pq.read_table(world.folder / "out.parquet").column("prediction").to_pylist() == expected
    left = [path.name for path in world.folder.iterdir() if path.name.startswith(".")]
    assert not left
    report = os.environ.get("ENC_FAULTS_REPORT")
    if report:
        with open(report, "a", encoding="utf-8") as file:
            file.write(json.dumps({"seed": seed, **counts}) + "\n")
