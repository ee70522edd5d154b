"""A head is trained again by what it records."""

import json
import shlex

import pytest


@pytest.fixture
def trained(enc, build, reviews, tmp_path, monkeypatch):
    """A head that records the command that made it."""
    monkeypatch.chdir(tmp_path)
    options = ("--valid-fraction", 0.25, *build(), "--epochs", 2, "--no-report", "--no-baseline")
    words = list(map(str, ("train-head", reviews.name, *options, "--json", "--output", "head")))
    enc(*words)
    saved = json.loads((tmp_path / "head" / "head.json").read_text())
    assert saved["record"]["command"] == shlex.join(["enc", *words])
    return tmp_path / "head"


def record(head, words):
    saved = json.loads((head / "head.json").read_text())
    saved["record"]["command"] = shlex.join(["enc", *words])
    (head / "head.json").write_text(json.dumps(saved))


def test_the_same_command_gives_the_same_head(enc, trained):
    again = json.loads(enc("rerun", "head", "--json").stdout)
    assert (again["output"], again["is_same"], again["causes"], again["figures"]) == (
        "head.again",
        True,
        [],
        {},
    )
    assert again["command"].endswith("--epochs 2 --no-report --no-baseline --output head.again")
    made = json.loads((trained.parent / "head.again" / "head.json").read_text())["record"]["command"]
    assert made == again["command"]
    error = enc("rerun", "head", code=2).stderr
    assert "'head.again' is there already; name a new folder with --output" in error


def test_what_differs_is_told(enc, trained, reviews):
    saved = json.loads((trained / "head.json").read_text())
    saved["record"]["versions"]["torch"] = "1.0"
    saved["record"]["fingerprints"]["train"] = "another"
    saved["metrics"]["accuracy"] = 0.125
    record_command = saved["record"]["command"].replace("--epochs 2", "--epochs 3")
    saved["record"]["command"] = record_command
    (trained / "head.json").write_text(json.dumps(saved))
    lines = enc("rerun", "head", "--output", "other").stdout.splitlines()
    assert lines[0] == "'other' is not the same as 'head', by its weights"
    assert lines[1] == "the train rows are others than those of 'head'"
    assert lines[2].startswith("torch was 1.0, and is ")
    assert any(line.split()[:2] == ["accuracy", "0.1250"] for line in lines)


def test_a_dry_run_prints_the_command(enc, trained):
    shown = enc("rerun", "head", "--dry-run", "--output", "x y").stdout
    assert shlex.split(shown)[:2] == ["enc", "train-head"]
    assert shlex.split(shown)[-2:] == ["--output", "x y"]
    assert "--json" not in shown
    assert not (trained.parent / "x y").exists()


@pytest.mark.parametrize("command", [["store", "delete", "store"], ["doctor"], []])
def test_only_training_is_done_again(enc, trained, command):
    record(trained, command)
    assert "does not record a command of enc that trains" in enc("rerun", "head", code=2).stderr


def test_code_runs_only_where_it_is_allowed(enc, trained):
    record(trained, ["train-head", "x.tsv", "--head", "a:B", "--allow-code", "--output", "head"])
    assert "add --allow-code" in enc("rerun", "head", code=2).stderr


def test_the_command_s_own_error_ends_it(enc, trained, reviews):
    reviews.unlink()
    enc("rerun", "head", code=2)
    assert not (trained.parent / "head.again").exists()


def test_a_folder_without_a_head(enc, trained):
    said = enc("rerun", "haed", code=2).stderr
    assert "no head and no fine-tuned model in 'haed'. Did you mean 'head'?" in said
    (trained / "head.json").write_text("{")
    assert "is damaged" in enc("rerun", "head", code=2).stderr
