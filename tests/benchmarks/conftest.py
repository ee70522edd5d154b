import json

import pytest
from click.testing import CliRunner
from enc.cli.main import main


@pytest.fixture
def texts(write):
    return write("t.tsv", "text\n" + "\n".join(f"a good room {i}" for i in range(40)))


@pytest.fixture
def bench(tmp_path):
    """Run a benchmark once, for the measurements by name, all of results.json, and what was printed."""

    def run(*arguments):
        options = ["--repetitions", 1, "--output", tmp_path / "out"]
        result = CliRunner().invoke(main, ["bench", *map(str, [*arguments, *options])])
        assert result.exit_code == 0, result.output
        saved = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
        return {measured["name"]: measured for measured in saved["measurements"]}, saved, result.stdout

    return run
