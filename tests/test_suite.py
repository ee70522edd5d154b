"""The test run itself."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_run_ends_with_its_summary():
    """These tests are parametrized with objects of enc; see `pytest_sessionfinish` in conftest.py."""
    tests = ROOT / "tests" / "engine" / "train" / "test_solve.py"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", tests]
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert re.fullmatch(r"\d+ tests collected in .*", done.stdout.strip().splitlines()[-1])
