import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a small file system in memory."""
    places: list[Path] = []

    def mount(name: str, size: int) -> Path:
        place = tmp_path / name
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)],
            check=False,
            capture_output=True,
        )
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted: {done.stderr.decode().strip()}")
        places.append(place)
        return place

    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("small file systems are mounted on Linux")
    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)
