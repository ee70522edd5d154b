"""Who starts a build by a first pass is killed in both passes; and the store's disk is full."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from enc.store import FeatureTable, Source, WorkspaceError
from enc.store.first_pass import first_pass_of, write_part
from enc.store.source_parts import parts_of
from enc.store.work import WORK_FOLDER
from fault_world import World

ENC = [sys.executable, "-c", "from enc.cli.main import main\nmain(prog_name='enc')"]


def workers_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(one) for one in found.stdout.split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_when(world: World, arguments: list[str], is_reached) -> None:
    """Start a command, kill it when a point is reached, and wait until its workers have ended, too."""
    process = subprocess.Popen([*ENC, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not is_reached() and process.poll() is None:
        time.sleep(0.01)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    until = time.monotonic() + 100
    while any(map(is_running, workers)):
        assert time.monotonic() < until, "a worker goes on without the one who started it"
        time.sleep(0.05)
    world.check("build")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked at in /proc")
def test_a_killed_driver_loses_nothing_and_leaves_no_worker(tmp_path, tiny_bert):
    world = World(tmp_path / "world", tiny_bert)
    lines = world.source.read_text().splitlines()
    (world.folder / "more.tsv").write_text("\n".join([lines[0], *lines[100:], "more\t1", "\t0"]) + "\n")
    arguments = world.arguments("build")
    arguments[1:2] = [str(world.source), str(world.folder / "more.tsv")]
    arguments += ["--workers", "1", "--first-pass", "always"]
    work = world.store / WORK_FOLDER
    kill_when(world, arguments, lambda: any(work.glob("*/texts-*")))
    kill_when(world, arguments, lambda: any(world.set_folder.glob("part-*")))
    done = subprocess.run([*ENC, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["rejected"]) == (len(lines) - 1 + len(lines) - 100 + 2, 1)
    assert summary["distinct"] == summary["cached"] + summary["encoded"] == len(world.keys) + 1
    world.check("build")
    assert len(world.features) == FeatureTable(world.set_folder).rows == len(world.keys) + 1
    assert not work.exists()


def test_a_store_without_room_is_told_in_one_line(mounted, tmp_path):
    store = mounted("small", 300_000)
    rows = "".join(f"{os.urandom(60).hex()}\n" for _ in range(20_000))
    (tmp_path / "rows.tsv").write_text(f"text\n{rows}")
    source = Source(tmp_path / "rows.tsv")
    first_pass = first_pass_of(source, store / "store", "set", "0")
    with pytest.raises(WorkspaceError, match=r"does not fit into .*No space left.*--first-pass never"):
        write_part(source, first_pass.folder, *next(iter(parts_of(source, first_pass.place).items())))
    assert not first_pass.place.exists()
