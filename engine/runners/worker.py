"""The process of a worker: reads a job from stdin, builds a share, and writes what happens, as JSON lines.

It ends when the process that started it ends, which it sees by its stdin; what it has encoded is then
committed.
"""

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from typing import Any

from ...store import EncError
from ...store.share import Share
from .job import BuildJob

PROGRESS_SECONDS = 0.2


def main() -> None:
    """Do what the first line of stdin says."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a library prints is not to be taken for a message
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _take_cores(order["cores"])
    told: dict[str, float] = {}

    def tell(**message: Any) -> None:
        print(json.dumps(message, ensure_ascii=False), file=out)

    def progress(stage: str, done: int, total: int, _: str = "", /) -> None:
        now = time.monotonic()
        if done in (0, total) or now - told.get(stage, 0.0) >= PROGRESS_SECONDS:
            told[stage] = now
            tell(progress=[stage, done, total])

    try:
        job = BuildJob.from_json(order["job"])
        summary = job.build(Share.parse(order["share"]), progress=progress, say=lambda line: tell(note=line))
        tell(summary=dataclasses.asdict(summary))
    except EncError as error:
        tell(error=str(error))
    except KeyboardInterrupt:
        tell(interrupted=True)


def _end_with_parent() -> None:
    # Not by sys.stdin, whose lock this thread would still hold when Python ends.
    while os.read(0, 1):  # comes back with nothing when the other end is closed
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _take_cores(cores: list[int]) -> None:
    """Run on these cores alone, where the system lets us; every library then makes as many threads."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main()
