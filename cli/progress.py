"""What a person sees while a command is at work, on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def note(message: str) -> None:
    """A line for people, on stderr."""
    click.echo(message, err=True)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of texts done, texts/s and time left on a terminal; a line every ten seconds elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _progress_lines(label)
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


def _progress_lines(label: str, every_seconds: float = 10.0) -> Callable[[int, int], None]:
    started = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal started, last
        now = time.monotonic()
        if not done:
            started = last = now
        if done and now - last >= every_seconds:
            last, rate = now, done / (now - started)
            note(f"{label}: {done:,} of {total:,}, {rate:,.0f} texts/s, {(total - done) / rate:,.0f} s left")

    return update
