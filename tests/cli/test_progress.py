"""What is seen of progress: lines where stderr is no terminal, bars on a pseudo-terminal."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from enc.cli import progress
from enc.cli.command import EncCommand
from enc.cli.progress import Display, Stage, line_of
from enc.store.progress import tell


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(progress, "SHOWN_AFTER", 0.0)
    monkeypatch.setattr(progress.Lines, "seconds", 0.01)


def run(work, *arguments):
    @click.command(cls=EncCommand, help="Work.")
    @click.option("--json", "as_json", is_flag=True, help="As JSON.")
    def command(as_json):
        work()
        click.echo("the result")

    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, result.stdout) == (0, "the result\n"), result.output
    return result.stderr.splitlines()


def long_work():
    tell("reading", 10, 10)
    tell("encoding", 0, 100)
    tell("encoding", 25, 100, "loss 0.5")
    threading.Event().wait(0.2)


def test_lines_tell_of_the_stage_that_is_going_on():
    lines = run(long_work)
    assert lines
    assert all(line.startswith("encoding: 25 of 100 texts, loss 0.5, ") for line in lines)
    assert lines[0].endswith(" s left")


def test_json_lines_are_for_schedulers():
    lines = [json.loads(line) for line in run(long_work, "--json")]
    assert lines
    assert lines[0].keys() == {"stage", "done", "total", "per_second", "seconds_left"}
    assert (lines[0]["stage"], lines[0]["done"], lines[0]["total"]) == ("encoding", 25, 100)


def test_quiet_shows_no_progress():
    assert run(long_work, "-q") == []


def test_verbose_tells_what_each_stage_took():
    lines = run(lambda: (tell("encoding", 0, 3), tell("encoding", 3, 3)), "-v")
    assert len(lines) == 1
    assert "encoding: 3 texts in 0." in lines[0]


def test_nothing_is_shown_of_short_work(monkeypatch):
    monkeypatch.setattr(progress, "SHOWN_AFTER", 60.0)
    assert run(lambda: tell("encoding", 1, 2)) == []


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (Stage("reading", 0, 0, 0, 90.0), "reading: 10 s so far"),
        (Stage("reading", 5000, 0, 0, 90.0), "reading: 5,000 rows, 10 s so far"),
        (Stage("encoding", 500, 2000, 0, 90.0), "encoding: 500 of 2,000 texts, 50 texts/s, 30 s left"),
        # What an interrupted run did took no time here.
        (Stage("training", 60, 100, 50, 90.0), "training: 60 of 100 steps, 60.0 steps/min, 40 s left"),
        (Stage("training", 50, 100, 50, 90.0), "training: 50 of 100 steps"),
    ],
)
def test_lines(stage, line):
    assert line_of(stage, 100.0) == line


def test_a_stage_that_begins_again_is_timed_anew():
    display = Display(lambda: progress.Lines(line_of))
    try:
        display("training", 0, 10)
        display("training", 10, 10)
        first = display._stages["training"]
        assert first.ended is not None
        display("training", 1, 10)
        second = display._stages["training"]
        assert (second.first, second.ended) == (1, None)
    finally:
        display.end()


SCRIPT = """
import sys, time
import click
from enc.cli.command import EncCommand
from enc.store.progress import tell

@click.command(cls=EncCommand)
def work():
    tell("reading", 7, 7)
    for done in range(0, 60):
        tell("encoding", done, 100)
        time.sleep(0.02)
        if done == 50:
            print("中文 on stdout", flush=True)
            click.echo("a note", err=True)
    click.echo("the result")

work(sys.argv[1:])
"""


def in_terminal(*arguments, **variables):
    """What a terminal gets of the script, from its stdout and stderr."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are of Unix")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], stdout=theirs, stderr=theirs, stdin=theirs,
        env=environment, close_fds=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    return b"".join(parts).decode()


def screen_of(text):
    """The lines that are left on a screen, of what was written to it."""
    lines, row = [""], 0
    for part in text.replace("\r\n", "\n").replace("\x1b[?25l", "").replace("\x1b[?25h", "").split("\n"):
        while len(lines) <= row:
            lines.append("")
        rest = part
        while "\x1b[1A" in rest or "\x1b[2K" in rest or "\r" in rest:
            ups, clears, returns = rest.find("\x1b[1A"), rest.find("\x1b[2K"), rest.find("\r")
            at = min(place for place in (ups, clears, returns) if place >= 0)
            lines[row] += rest[:at]
            if at == ups:
                row, rest = row - 1, rest[at + 4 :]
            elif at == clears:
                lines[row], rest = "", rest[at + 4 :]
            else:
                rest = rest[at + 1 :]
        lines[row] += rest
        row += 1
    return [line for line in lines if line]


def test_bars_on_a_terminal_stand_below_what_is_printed_and_go_away():
    text = in_terminal()
    assert "encoding" in text
    assert "texts/s" in text
    assert "left" in text
    assert screen_of(text) == ["中文 on stdout", "a note", "the result"]


def test_no_bars_without_a_terminal_that_can_draw_them():
    assert "━" not in in_terminal(TERM="dumb")
    assert "━" not in in_terminal("-q")


def test_bars_have_no_colours_where_none_are_wanted():
    assert "\x1b[91m" not in in_terminal(NO_COLOR="1")
