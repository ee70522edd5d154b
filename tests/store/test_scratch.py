import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from enc.store import WorkspaceError
from enc.store.scratch import LOCK_FILE, clear_left_folders, scratch_folder

KILLED = """
import os, signal
from enc.store.duck import workspace
with workspace() as con:
    con.execute("CREATE TABLE texts AS SELECT repeat('text', 100) FROM range(100000); CHECKPOINT")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_at_the_end(temporary):
    with scratch_folder() as folder:
        Path(folder, "text").write_text("x")
        assert Path(folder).parent == temporary
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_cleared_by_the_next_one(temporary):
    environment = os.environ | {"TMPDIR": str(temporary)}
    ended = subprocess.run([sys.executable, "-c", KILLED], check=False, env=environment)
    assert ended.returncode == -signal.SIGKILL
    [left] = temporary.iterdir()
    assert sum(path.stat().st_size for path in left.iterdir()) > 100_000
    with scratch_folder() as folder:
        assert [str(path) for path in temporary.iterdir()] == [folder]


def test_folders_of_living_processes_and_other_things_stay(temporary):
    (temporary / "enc-of-something-else").mkdir()
    (temporary / "enc-file").write_text("x")
    with scratch_folder() as folder:
        assert clear_left_folders(temporary) == []
        assert Path(folder, LOCK_FILE).exists()
    assert sorted(path.name for path in temporary.iterdir()) == ["enc-file", "enc-of-something-else"]


def test_many_at_once_never_clear_each_others(temporary):
    def work(_: int) -> bool:
        with scratch_folder() as folder:
            Path(folder, "text").write_text("x")
            return Path(folder, "text").exists()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(300)))
    assert not list(temporary.iterdir())


def test_a_temporary_folder_that_cannot_be_used_is_an_error_of_one_line(temporary, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    said = r"\(No space left on device\); free some space, or set TMPDIR"
    with pytest.raises(WorkspaceError, match=said), scratch_folder():
        pass
