"""The process of a worker: reads tasks from stdin, does one after the other, and writes what happens.

All are JSON, a line each. First it reads which cores it has, then tasks. It ends when stdin does: at once
if it has nothing to do; else the process that started it has ended, and what the task has finished is kept.
"""

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from ...store import EncError
from .task import task_of

PROGRESS_SECONDS = 0.2
_READ_BYTES = 1 << 16


def main() -> None:
    """Do what the lines of stdin say."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a library prints is not to be taken for a message
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def tell(**message: Any) -> None:
        print(json.dumps(message, ensure_ascii=False), file=out)

    told: dict[str, float] = {}

    def progress(stage: str, done: int, total: int, _: str = "", /) -> None:
        now = time.monotonic()
        if done in (0, total) or now - told.get(stage, 0.0) >= PROGRESS_SECONDS:
            told[stage] = now
            tell(progress=[stage, done, total])

    try:
        orders = _Orders()
        cores = orders.next()
        if cores is not None:
            _take_cores(json.loads(cores))
        while (order := orders.next()) is not None:
            told.clear()
            task = task_of(order)
            tell(result=task.run(progress=progress, say=lambda line: tell(note=line)))
    except EncError as error:
        tell(error=str(error))
    except KeyboardInterrupt:
        tell(interrupted=True)


class _Orders:
    """The lines of stdin, and a signal that interrupts the work when stdin ends."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._is_at_work = self._has_ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> str | None:
        """The next line, which is waited for; None at the end."""
        self._is_at_work = False
        line = self._lines.get()
        self._is_at_work = line is not None
        return None if self._has_ended else line  # there is nobody to hear of it

    def _read(self) -> None:
        for line in _lines_of_stdin():
            self._lines.put(line)
        self._has_ended = True
        self._lines.put(None)
        if self._is_at_work:
            os.kill(os.getpid(), signal.SIGTERM)


def _lines_of_stdin() -> Iterator[str]:
    # Not by sys.stdin, whose lock the thread that reads would still hold when Python ends.
    held = b""
    while block := os.read(0, _READ_BYTES):  # comes back with nothing when the other end is closed
        *lines, held = (held + block).split(b"\n")
        for line in lines:
            yield line.decode()


def _take_cores(cores: list[int]) -> None:
    """Run on these cores alone, where the system lets us; every library then makes as many threads."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main()
