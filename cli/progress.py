"""What a person sees while a command is at work, on stderr."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .voice import note


@contextmanager
def progress_reports(label: str, *, as_json: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; or, for schedulers, a line of JSON on stderr every ten seconds."""
    if as_json:
        yield _progress_lines(label, _json_line)
        return
    with progress_bar(label) as update:
        yield update


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of texts done, texts/s and time left on a terminal; a line every ten seconds elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _progress_lines(label, _line)
        return
    rate = TextColumn("{task.fields[rate]}")
    with Progress(
        TextColumn(label), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task(label, total=None, rate="", visible=False)
        started = time.monotonic()

        def update(done: int, total: int) -> None:
            nonlocal started
            started = started if done else time.monotonic()
            per_second = done / max(time.monotonic() - started, 1e-9)
            bar.update(
                task,
                completed=done,
                total=total,
                visible=True,
                rate=f"{per_second:,.0f} texts/s" if done else "",
            )

        yield update


def _progress_lines(
    label: str, line: Callable[[str, int, int, float], str], every_seconds: float = 10.0
) -> Callable[[int, int], None]:
    started = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal started, last
        now = time.monotonic()
        if not done:
            started = last = now
        if done and now - last >= every_seconds:
            last = now
            note(line(label, done, total, done / (now - started)))

    return update


def _line(label: str, done: int, total: int, rate: float) -> str:
    return f"{label}: {done:,} of {total:,}, {rate:,.0f} texts/s, {(total - done) / rate:,.0f} s left"


def _json_line(label: str, done: int, total: int, rate: float) -> str:
    seconds_left = round((total - done) / rate, 1)
    return json.dumps(
        {
            "stage": label,
            "done": done,
            "total": total,
            "per_second": round(rate, 1),
            "seconds_left": seconds_left,
        }
    )
