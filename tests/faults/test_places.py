"""Builders that start together, and disks that are full, read-only or gone."""

import json
import os
import shutil
import subprocess

import pytest
from enc.store import FeatureTable
from enc.store.compact import compact
from fault_world import TEXTS, World, rows_of

MEGABYTE = 1 << 20
BUILDERS = (4, 8) if os.environ.get("ENC_FAULTS") else (4,)


@pytest.mark.parametrize("builders", BUILDERS)
def test_builders_that_start_on_a_store_that_is_not_there(tmp_path, tiny_bert, builders):
    world = World(tmp_path / "world", tiny_bert)
    started = [world.start("build") for _ in range(builders)]
    for process in started:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert json.loads(out)["rows"] == TEXTS
    table = FeatureTable(world.set_folder)
    assert {key for key, _ in rows_of(table)} == world.keys
    compact(table)
    assert table.rows == len(world.keys)
    assert {key for key, _ in rows_of(table)} == world.keys


def one_line(world: World, command: str, *words: str) -> None:
    """A command ends with exit code 2 and one line that has one of the words."""
    process = world.start(command)
    out, err = process.communicate()
    assert process.returncode == 2, f"{command}\n{out}\n{err}"
    line = err.strip().splitlines()[-1]
    assert line.startswith("error: "), err
    assert any(word in line for word in words), line
    assert "Traceback" not in err


def test_a_full_disk_under_the_store(tmp_path, tiny_bert, mounted):
    world = World(tmp_path / "world", tiny_bert)
    disk = mounted("disk", MEGABYTE)
    (world.folder / "store").symlink_to(disk)
    filler = disk / ".filler"
    filler.write_bytes(b"x" * (MEGABYTE - 24_000))
    one_line(world, "build", "No space left", "no space left")
    filler.unlink()
    world.run("build")
    assert {key for key, _ in rows_of(FeatureTable(world.set_folder))} == world.keys
    world.run("vacuum")
    filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - 8192))
    before = rows_of(FeatureTable(world.set_folder))
    for command in ("compact", "delete"):
        one_line(world, command, "No space left", "no space left")
        assert rows_of(FeatureTable(world.set_folder)) == before
    filler.unlink()
    world.run("compact")
    world.run("vacuum")
    assert sorted(rows_of(FeatureTable(world.set_folder))) == sorted(before)


def test_a_full_temporary_folder(tmp_path, tiny_bert, mounted):
    world = World(tmp_path / "world", tiny_bert)
    disk = mounted("disk", 8 << 10)
    shutil.rmtree(world.folder / "tmp")
    (world.folder / "tmp").symlink_to(disk)
    one_line(world, "build", "TMPDIR")
    assert not list(disk.iterdir())


def test_a_read_only_disk(tmp_path, tiny_bert, mounted):
    world = World(tmp_path / "world", tiny_bert)
    disk = mounted("disk", MEGABYTE)
    (world.folder / "store").symlink_to(disk)
    world.run("build")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    world.run("verify", code=2)
    one_line(world, "compact", "ead-only")
    one_line(world, "delete", "ead-only")
    one_line(world, "vacuum", "ead-only")
    world.run("train")
    world.run("build")  # all is there already
    world.source.write_text(world.source.read_text() + "a new text\t1\n")
    one_line(world, "build", "ead-only")


def test_a_store_that_is_gone(tmp_path, tiny_bert, mounted):
    world = World(tmp_path / "world", tiny_bert)
    disk = mounted("disk", MEGABYTE)
    (world.folder / "store").symlink_to(disk)
    world.run("build")
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
    for command in ("train", "verify", "compact"):
        one_line(world, command, "is not a store")
