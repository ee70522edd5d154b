"""The README's example runs as it stands, and its commands exist."""

import doctest
import re
import shutil
from pathlib import Path

from enc.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_example_runs(tmp_path, monkeypatch, capsys):
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 1
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(examples[0], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "640 texts encoded, 0 found in the store" in printed
    assert "(640, 384)" in printed
    assert "fixed_size_list<element: halffloat not null>[384]" in printed
    accuracy, majority = map(float, re.search(r"accuracy ([\d.]+) majority ([\d.]+)", printed).groups())
    assert accuracy > majority + 0.15


def test_scikit_learn_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```pycon\n(.*?)```", README, re.DOTALL)
    test = doctest.DocTestParser().get_doctest(example[1], {}, "README.md", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0
    assert (tmp_path / "reviews-head" / "head.json").is_file()


def test_commands_of_the_readme_exist():
    mentioned = set(
        re.findall(
            r"\benc ([a-z]+(?:-[a-z]+)?)\b", "\n".join(re.findall(r"^    (enc .*)", README, re.MULTILINE))
        )
    )
    assert mentioned
    assert mentioned <= set(COMMANDS)
