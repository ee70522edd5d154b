"""Bars of stages on a terminal, by rich."""

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from .progress import BAR_SECONDS, Stage, rate_text

if TYPE_CHECKING:
    from rich.live import Live


class Streams:
    """Stands before stdout and stderr where these are terminals: what is written comes above the bars."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.terminal = sys.stderr
        self.live: Live | None = None
        self.is_at_line_start = True
        self._before = sys.stdout, sys.stderr
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream.isatty():
                setattr(sys, name, _Above(stream, self))

    def restore(self) -> None:
        """Put the streams back."""
        sys.stdout, sys.stderr = self._before

    def clear(self) -> None:
        """Take the bars away, until they are drawn again."""
        if self.live is not None:
            live, self.live = self.live, None
            live.stop()


class _Above:
    """A stream of the terminal on which there may be bars."""

    def __init__(self, stream: TextIO, streams: Streams):
        self._stream, self._streams = stream, streams

    def write(self, text: str) -> int:
        with self._streams.lock:
            self._streams.clear()
            if text:
                self._streams.is_at_line_start = text.endswith("\n")
            return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Bars:
    """A bar for each stage: how much is done, how fast, and how long it will take."""

    seconds = BAR_SECONDS

    def __init__(self, streams: Streams):
        from rich.console import Console

        self._streams, self._seen = streams, ""
        self._console = Console(file=streams.terminal)

    def show(self, stages: list[Stage]) -> None:
        """Draw the bars, where anything has changed since they were taken away."""
        from rich.live import Live

        with self._streams.lock:
            going = [stage for stage in stages if stage.ended is None]
            seen = repr([(stage.name, stage.done, stage.total) for stage in stages])
            is_idle = self._streams.live is None and seen == self._seen
            if not going or is_idle or not self._streams.is_at_line_start:
                self._streams.clear()
                return
            self._seen = seen
            table = _table(stages)
            if self._streams.live is None:
                self._streams.live = Live(
                    table,
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._streams.live.start(refresh=True)
            else:
                self._streams.live.update(table, refresh=True)

    def hide(self) -> None:
        """Take the bars away."""
        with self._streams.lock:
            self._streams.clear()


def _table(stages: list[Stage]) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    now, table = time.monotonic(), Table.grid(padding=(0, 2, 0, 0))
    for column in ("left", "left", "right", "right", "right", "left"):
        table.add_column(justify=column, no_wrap=True)
    for stage in stages:
        is_counted, left = bool(stage.total), stage.seconds_left(now)
        bar = ProgressBar(
            total=stage.total or None,
            completed=stage.done,
            width=20,
            pulse=not is_counted,
            animation_time=now,
        )
        counted = f"{stage.done:,}/{stage.total:,}" if is_counted else f"{stage.done:,}" if stage.done else ""
        told = clock_text(stage.seconds(now)) if stage.ended or left is None else f"{clock_text(left)} left"
        table.add_row(stage.name, bar, counted, rate_text(stage, now), told, stage.remark)
    return table


def clock_text(seconds: float) -> str:
    """Minutes and seconds, and hours where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
