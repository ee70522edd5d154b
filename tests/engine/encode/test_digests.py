"""Digests of a model's files are remembered, and never believed where a file may have changed."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest
from enc.engine.encode import digests as module
from enc.engine.encode.digests import digests, file_digests

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_bert, tmp_path, fresh_memory):
    return shutil.copytree(tiny_bert, tmp_path / "model")


@pytest.fixture
def settled(monkeypatch):
    """As if all files had been written long ago."""
    monkeypatch.setattr(module, "_SETTLED_SECONDS", -1.0)


@pytest.fixture
def read(monkeypatch):
    """Names of the files whose content is read."""
    names, original = [], module.hashlib.file_digest

    def noted(file, kind):
        names.append(Path(file.name).name)
        return original(file, kind)

    monkeypatch.setattr(module.hashlib, "file_digest", noted)
    return names


def change(path: Path) -> None:
    """Change one byte, and nothing else that can be restored."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    with open(path, "r+b") as file:  # the same inode and size
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_is_read_once(folder, settled, read):
    first = digests(folder)
    assert WEIGHTS in read
    read.clear()
    assert digests(folder) == first
    assert read == []


def test_verify_reads_all_again(folder, settled, read):
    first = digests(folder)
    read.clear()
    assert digests(folder, verify=True) == first
    assert WEIGHTS in read


def test_a_changed_byte_is_noticed_whatever_its_time_of_change_says(folder, settled):
    first = digests(folder)
    time.sleep(0.02)  # longer than a tick of the file system's clock
    change(folder / WEIGHTS)
    assert digests(folder)[0] != first[0]
    assert digests(folder)[1] == first[1]


def test_a_file_that_was_just_written_is_not_remembered(folder, read):
    (folder / WEIGHTS).touch()
    digests(folder)
    read.clear()
    digests(folder)
    assert WEIGHTS in read


def test_a_file_that_is_gone_or_new_counts(folder, settled):
    first = digests(folder)
    (folder / "vocab.txt").write_text("a\n")
    second = digests(folder)
    assert (second[0], second[1] != first[1]) == (first[0], True)
    (folder / "vocab.txt").unlink()
    assert digests(folder) == first


def test_a_files_name_counts_as_its_content_does(folder):
    (folder / "vocab.txt").write_text("a\n")
    first = digests(folder)
    (folder / "vocab.txt").rename(folder / "vocab.json")  # in the same place of their order
    second = digests(folder)
    assert (second[0], second[1] != first[1]) == (first[0], True)


def test_a_damaged_memory_is_computed_anew(folder, settled, tmp_path):
    first = digests(folder)
    (kept,) = (tmp_path / "cache" / "enc" / "digests").iterdir()
    kept.write_text('{"model.safetensors": [1, 2')
    assert digests(folder) == first


def test_files_in_folders_of_the_folder_are_remembered_apart(folder, settled, read):
    inner = "2_Dense/model.safetensors"
    (folder / inner).parent.mkdir()
    (folder / inner).write_bytes(b"a layer")
    first = digests(folder)
    assert file_digests(folder, [inner]) == {inner: hashlib.sha256(b"a layer").hexdigest()}
    read.clear()
    assert file_digests(folder, [inner], verify=True)
    assert read == [WEIGHTS]
    read.clear()
    assert (digests(folder), len(file_digests(folder, [inner]))) == (first, 1)
    assert read == []
