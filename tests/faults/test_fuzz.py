"""Files with changed bytes as sources: see fuzz.py, which is a process of its own, for a reader may crash.

ENC_FUZZ=N reads N files in place of some hundreds; see the Makefile's target `faults`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.fuzz import _object

FILES = int(os.environ.get("ENC_FUZZ", "300"))


def test_what_is_read_of_spoiled_files_is_what_stands_in_them():
    seed = os.environ.get("ENC_FAULTS_SEED", "0")
    program = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, str(program), str(FILES), seed], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes = json.loads(done.stdout)
    assert sum(outcomes.values()) == FILES
    report = os.environ.get("ENC_FAULTS_REPORT")
    if report:
        with open(report, "a", encoding="utf-8") as file:
            file.write(json.dumps({"fuzz": outcomes}) + "\n")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (b'{"text": "a,}b", "label": "b"}', ("a,}b", "b")),  # a sound line is read as it stands
        (b'{"text": "a", "label": "b" , }', ("a", "b")),
        (b'{"text": "a", "text": "b", "label": 1}', ("a", None)),
        (b'{"text": "a" "label": "b"}', None),
    ],
)
def test_the_oracle_is_no_more_lenient_than_needed(line, read):
    assert _object(line) == read
