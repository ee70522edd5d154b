"""The README is short, and its example and that of the manual do what they say, with the real model.

That all of their code runs is tested in tests/docs.
"""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example_of(path: Path) -> str:
    (example,) = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    return example


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
    assert len(example_of(ROOT / "README.md").replace("\n\n", "\n").splitlines()) <= 10


@pytest.mark.parametrize(
    ("page", "printed_too"),
    [
        ("README.md", ["640 texts encoded, 0 found in the store"]),
        (
            "docs/python.md",
            [
                "640 texts encoded, 0 found in the store",
                "(640, 384)",
                "fixed_size_list<element: halffloat not null>[384]",
            ],
        ),
    ],
)
def test_python_example_learns(page, printed_too, tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(example_of(ROOT / page), page, "exec"), {})
    printed = capsys.readouterr().out
    assert all(said in printed for said in printed_too)
    accuracy, majority = map(float, re.search(r"accuracy ([\d.]+) majority ([\d.]+)", printed).groups())
    assert accuracy > majority + 0.15
