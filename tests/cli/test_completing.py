"""What a shell is offered, asked as the shells ask."""

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from enc.cli.main import main


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """What is offered after some words, with its type."""
    monkeypatch.chdir(tmp_path)
    for folder in (
        "heads/good",
        "heads/better",
        "heads/notes",
        "features/minilm-mean/_delta_log",
        "features/rejects",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for head in ("good", "better"):
        (tmp_path / "heads" / head / "head.json").touch()
    complete = ShellComplete(main, {}, "enc", "_ENC_COMPLETE")

    def offered(*words):
        return [(one.value, one.type) for one in complete.get_completions(list(words[:-1]), words[-1])]

    return offered


def test_commands_and_options(offered):
    assert offered("train") == [("train-head", "plain")]
    assert offered("store", "ver") == [("verify", "plain")]
    assert ("--label-column", "plain") in offered("train-head", "--label")
    assert offered("build-features", "--long-text", "w") == [("windows", "plain")]


def test_feature_sets_of_the_store_that_is_named(offered):
    sets = [("minilm-mean", "plain")]
    assert offered("train-head", "--store", "features", "--features", "") == sets
    assert offered("build-features", "--store", "features", "--name", "mini") == sets
    assert offered("store", "show", "features", "m") == sets
    assert offered("train-head", "--store", "features", "--features", "x") == []
    assert offered("train-head", "--store", "s3://bucket/features", "--features", "") == []
    assert offered("train-head", "--store", "nowhere", "--features", "") == []


def test_heads_files_and_folders(offered):
    assert offered("predict", "--head", "heads/") == [("heads/better", "plain"), ("heads/good", "plain")]
    assert offered("evaluate", "heads/g") == [("heads/good", "plain")]
    assert offered("predict", "--head", "hea") == [("hea", "dir")]
    assert offered("score", "new") == [("new", "file")]
    assert offered("score", "--store", "fea") == [("fea", "dir")]
    assert offered("train-head", "--config", "ru") == [("ru", "file")]
    assert offered("train-head", "--head", "m") == []  # a kind, and no folder


def test_completing_loads_nothing_that_reads_data(tmp_path):
    script = (
        "import sys\nfrom click.shell_completion import ShellComplete\nfrom enc.cli.main import main\n"
        "ShellComplete(main, {}, 'enc', '_ENC_COMPLETE').get_completions(['train-head', '--store', "
        f"{str(tmp_path)!r}, '--features'], '')\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not {"torch", "duckdb", "pyarrow", "numpy", "deltalake", "rich"} & set(loaded.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_get_their_scripts(shell):
    command = [sys.executable, "-c", "from enc.cli.main import main; main(prog_name='enc')"]
    environment = {
        "PATH": "/usr/bin:/bin",
        "_ENC_COMPLETE": f"{shell}_source",
        "PYTHONPATH": ":".join(sys.path),
    }
    script = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    assert "_ENC_COMPLETE" in script
    assert f"{shell}_complete" in script
