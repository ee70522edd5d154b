"""What a person sees on stderr while a command is at work: bars on a terminal, lines elsewhere.

Stages that tell of themselves (:mod:`store.progress`) are seen side by side. A thread looks now and then at
how far they are, so that telling costs the work next to nothing, and nothing is drawn, and rich is not
imported, in a command that takes less than SHOWN_AFTER seconds.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ..store.progress import STAGES, heard_by
from .voice import is_quiet, is_verbose, warn

SHOWN_AFTER = 0.5  # seconds
BAR_SECONDS = 0.2
LINE_SECONDS = 10.0


@dataclass
class Stage:
    """How far a stage has come."""

    name: str
    done: int
    total: int
    first: int
    """What was done when it was first told of: an interrupted run did that."""
    started: float
    ended: float | None = None
    remark: str = ""

    @property
    def thing(self) -> str:
        """What is counted."""
        return STAGES[self.name]

    def seconds(self, now: float) -> float:
        """How long it has been at work."""
        return max((self.ended or now) - self.started, 1e-9)

    def rate(self, now: float) -> float:
        """Done in a second."""
        return (self.done - self.first) / self.seconds(now)

    def seconds_left(self, now: float) -> float | None:
        """None where nothing is known of that."""
        rate = self.rate(now)
        return (self.total - self.done) / rate if self.total and rate else None


class Painter(Protocol):
    """Shows stages."""

    seconds: float
    """From one look to the next."""

    def show(self, stages: list[Stage]) -> None:
        """Show how far they are."""
        ...

    def hide(self) -> None:
        """Take away what is not to stay."""
        ...


class Display:
    """Hears of stages, and has them shown."""

    def __init__(self, painter: Callable[[], Painter]):
        self._painter, self._stages = painter, dict[str, Stage]()
        self._thread: threading.Thread | None = None
        self._ends, self._lock = threading.Event(), threading.Lock()

    def __call__(self, name: str, done: int, total: int, remark: str = "", /) -> None:
        """Hear how far a stage is."""
        now, stage = time.monotonic(), self._stages.get(name)
        if stage is None or done < stage.done or (stage.ended and done < total):
            stage = self._stages[name] = Stage(name, done, total, done, now)
        stage.done, stage.total, stage.remark = done, total, remark
        if total and done >= total and stage.ended is None:
            stage.ended = now
            if is_verbose():
                warn(f"{name}: {done:,} {stage.thing} in {stage.seconds(now):.2f} s")
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._paint, name="enc-progress", daemon=True)
                    self._thread.start()

    def _paint(self) -> None:
        if self._ends.wait(SHOWN_AFTER):
            return
        painter = self._painter()
        while not self._ends.wait(painter.seconds):
            painter.show(list(self._stages.values()))
        painter.hide()

    def end(self) -> None:
        """Show nothing more."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join()


@contextmanager
def progress_shown(*, as_json: bool) -> Iterator[None]:
    """During a block, what tells of progress is seen on stderr; ``as_json`` is for schedulers.

    On a terminal these are bars; elsewhere a line every ten seconds, or one of JSON.
    """
    if is_quiet():
        yield
        return
    if has_bars():
        from .bars import Bars, Streams

        streams = Streams()
        display = Display(lambda: Bars(streams))
    else:
        streams = None
        display = Display(lambda: Lines(_json_line if as_json else line_of))
    try:
        with heard_by(display):
            yield
    finally:
        display.end()
        if streams:
            streams.restore()


def has_bars() -> bool:
    """Whether stderr is a terminal on which lines can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class Lines:
    """A line now and then, of the stage that takes longest."""

    seconds = LINE_SECONDS

    def __init__(self, line: Callable[[Stage, float], str]):
        self._line = line

    def show(self, stages: list[Stage]) -> None:
        """Write a line, unless all stages are at their end."""
        now, going = time.monotonic(), [stage for stage in stages if stage.ended is None]
        if going:
            slowest = max(going, key=lambda stage: stage.seconds_left(now) or 0.0)
            warn(self._line(slowest, now))

    def hide(self) -> None:
        """Lines stay."""


def line_of(stage: Stage, now: float) -> str:
    """How far a stage is, as people read it."""
    if not stage.total:
        counted = f"{stage.done:,} {stage.thing}, " if stage.done else ""
        return f"{stage.name}: {counted}{stage.seconds(now):,.0f} s so far"
    left = stage.seconds_left(now)
    after = "" if left is None else f", {rate_text(stage, now)}, {left:,.0f} s left"
    remark = f", {stage.remark}" if stage.remark else ""
    return f"{stage.name}: {stage.done:,} of {stage.total:,} {stage.thing}{remark}{after}"


def rate_text(stage: Stage, now: float) -> str:
    """What is done in a second; of slow things, in a minute."""
    rate = stage.rate(now)
    if not rate:
        return ""
    return f"{rate:,.0f} {stage.thing}/s" if rate >= 10 else f"{60 * rate:,.1f} {stage.thing}/min"


def _json_line(stage: Stage, now: float) -> str:
    left = stage.seconds_left(now)
    return json.dumps(
        {
            "stage": stage.name,
            "done": stage.done,
            "total": stage.total,
            "per_second": round(stage.rate(now), 1),
            "seconds_left": None if left is None else round(left, 1),
        }
    )
