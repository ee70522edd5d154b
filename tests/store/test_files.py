import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from enc.store import HeadError
from enc.store.files import replaced_file, replaced_folder, require_replaceable


def test_a_file_appears_whole_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "new" / "data.txt"
    with replaced_file(path) as part:
        part.write_text("one")
        assert not path.exists()
        assert (part.parent, part.suffix) == (path.parent, path.suffix)
    with replaced_file(str(path)) as part:
        part.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replaced_file(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_replace_one_file_at_the_same_time(tmp_path):
    path, together = tmp_path / "data.txt", threading.Barrier(4)

    def replace(text: str) -> None:
        with replaced_file(path) as part:
            part.write_text(text * 1000)
            together.wait()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, "abcd"))
    content = path.read_text()
    assert len(content) == 1000
    assert len(set(content)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_name_is_no_hindrance(tmp_path):
    path = tmp_path / ("好" * 80 + ".parquet")
    with replaced_file(path) as part:
        part.write_text("x")
    assert path.read_text() == "x"


def test_an_error_without_a_file_name_is_given_one(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*data\.txt'"),
        replaced_file(tmp_path / "data.txt"),
    ):
        raise OSError(28, "No space left on device")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"'.*file'"), replaced_file(tmp_path / "file" / "data.txt"):
        pass


def fill(folder, text: str) -> None:
    with replaced_folder(folder) as part:
        (part / "data.txt").write_text(text)


def test_a_folder_appears_whole_at_the_end_of_the_block(tmp_path):
    folder = tmp_path / "new" / "head"
    fill(folder, "one")
    (folder / "more.txt").write_text("more")
    fill(folder, "two")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("data.txt", "two")]
    with pytest.raises(ValueError, match="half"), replaced_folder(folder) as part:
        (part / "data.txt").write_text("three")
        raise ValueError("half")
    assert (folder / "data.txt").read_text() == "two"
    assert list(folder.parent.iterdir()) == [folder]


def test_threads_replace_one_folder_at_the_same_time(tmp_path):
    folder, together = tmp_path / "head", threading.Barrier(4)

    def replace(text: str) -> None:
        with replaced_folder(folder) as part:
            (part / "data.txt").write_text(text)
            together.wait()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, "abcd"))
    assert (folder / "data.txt").read_text() in set("abcd")
    assert list(tmp_path.iterdir()) == [folder]


def test_the_older_folder_returns_when_the_new_one_cannot_take_its_place(tmp_path):
    folder = tmp_path / "head"
    fill(folder, "one")
    with pytest.raises(FileNotFoundError), replaced_folder(folder) as part:
        part.rmdir()
    assert (folder / "data.txt").read_text() == "one"


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    require_replaceable(tmp_path / "absent", "head.json", HeadError, "a head")
    require_replaceable(tmp_path, "head.json", HeadError, "a head")
    (tmp_path / "letter.txt").write_text("x")
    for path in (tmp_path, tmp_path / "letter.txt"):
        with pytest.raises(HeadError, match="is not a head; choose another --output"):
            require_replaceable(path, "head.json", HeadError, "a head")
    (tmp_path / "head.json").write_text("{}")
    require_replaceable(tmp_path, "head.json", HeadError, "a head")


KILLED = """
import os, signal, sys
from pathlib import Path
from enc.store.files import replaced_file, replaced_folder
replace = replaced_folder if sys.argv[1] == "folder" else replaced_file
with replace(sys.argv[2]) as new:
    (new / "part" if new.is_dir() else new).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_cleared_by_the_next_one(tmp_path, kind):
    path = tmp_path / "out.parquet"
    subprocess.run([sys.executable, "-c", KILLED, kind, str(path)], check=False)
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert [name[:5] for name in left] == [".out-", ".out-"]
    with replaced_file(tmp_path / "another.parquet") as new:
        new.write_text("x")
    assert len(list(tmp_path.iterdir())) == 3
    replace = replaced_folder if kind == "folder" else replaced_file
    with replace(path) as new:
        (new / "part" if kind == "folder" else new).write_text("whole")
        with replaced_file(path.with_suffix(".json")) as other:  # which is not the same path
            other.write_text("{}")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "another.parquet",
        "out.json",
        "out.parquet",
    ]


def test_a_living_process_keeps_its_new_file(tmp_path):
    path = tmp_path / "out.parquet"
    with replaced_file(path) as first:
        first.write_text("first")
        with replaced_file(path) as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
