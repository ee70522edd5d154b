"""Workers as processes of this machine: one for each GPU, or for a share of the cores."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import IO, Any

from ...store import WorkerError
from ...store.progress import Progress, hears_progress, tell
from ...store.share import WHOLE, Share
from ..encode.build import BuildSummary
from ..encode.devices import cpu_threads, cuda_is_available
from .job import BuildJob
from .total import total_of

CORES_PER_WORKER = 4
RETRIES = 2  # of a worker that was killed; what it had committed is not encoded again
END_SECONDS = 120.0  # that a worker has to commit what it has encoded


def suitable_workers(device: str | None) -> int:
    """Workers for this machine: one for each GPU, or for every four cores."""
    if device in (None, "cuda") and cuda_is_available():
        import torch

        return torch.cuda.device_count()
    return max(1, cpu_threads() // CORES_PER_WORKER)


@hears_progress
def build_in_processes(
    job: BuildJob,
    workers: int,
    *,
    share: Share = WHOLE,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> BuildSummary:
    """Build a share of the job by so many processes, each of which commits what it encodes.

    A worker that is killed starts again, up to RETRIES times. Raises WorkerError for the first error of any
    worker, after the others have committed what they have.
    """
    if workers < 1:
        raise WorkerError(f"{workers} workers do nothing; pass --workers 1 or more, or auto")
    started = time.perf_counter()
    messages: Messages = queue.Queue()
    cores = _cores(workers)
    team = [
        _Worker(number, _on_device(job, number, workers), share.part(number, workers), cores[number - 1])
        for number in range(1, workers + 1)
    ]
    with ExitStack() as scope:
        scope.callback(_end, team)
        for worker in team:
            worker.start(messages)
        while not all(worker.has_ended for worker in team):
            worker, message = messages.get()
            if "progress" in message:
                stage, *counts = message["progress"]
                worker.stages[stage] = counts
                done = [one.stages.get(stage, (0, 0)) for one in team]
                tell(stage, sum(one for one, _ in done), sum(of for _, of in done))
            elif "note" in message:
                if say and worker.number == 1:
                    say(message["note"])
            elif "error" in message:
                raise WorkerError(message["error"])
            elif "summary" in message:
                worker.summary = BuildSummary(**message["summary"])
            elif "ended" in message:
                worker.has_ended = worker.summary is not None
                if not worker.has_ended:
                    _again(worker, messages, say)
    return total_of([worker.summary for worker in team if worker.summary], time.perf_counter() - started)


@dataclass(eq=False)
class _Worker:
    number: int
    job: BuildJob
    share: Share
    cores: Sequence[int]
    stages: dict[str, list[int]] = field(default_factory=dict)
    """Of each stage, what is done, and how much there is."""
    summary: BuildSummary | None = None
    has_ended: bool = False
    deaths: int = 0
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    log: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    """What it writes to stderr."""

    def start(self, messages: "Messages") -> None:
        threads = str(max(1, len(self.cores)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C comes to us, and we tell the workers
            env=os.environ | {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads},
        )
        order = {"job": self.job.to_json(), "share": str(self.share), "cores": list(self.cores)}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended already, which the reader will tell
            pass
        self.reader = threading.Thread(target=self._read, args=(self.process, messages), daemon=True)
        self.reader.start()

    def _read(self, process: subprocess.Popen[str], messages: "Messages") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):  # a killed worker may leave half a line
                messages.put((self, json.loads(line)))
        process.wait()
        messages.put((self, {"ended": process.returncode}))

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


Messages = queue.Queue[tuple[_Worker, dict[str, Any]]]
"""What the workers tell, and who does."""


def _again(
    worker: _Worker,
    messages: "Messages",
    say: Callable[[str], None] | None,
) -> None:
    """Start a worker that died once more."""
    assert worker.process is not None
    code = worker.process.returncode
    end = f"ended with exit code {code}"
    if code <= 0:  # an interrupted one commits what it has, and ends with 0
        end = f"was killed by signal {-code}" if code else "was interrupted"
    words = worker.last_words()
    said = f" ({words})" if words else ""
    if code > 0 or worker.deaths >= RETRIES:
        raise WorkerError(
            f"worker {worker.share} {end}{said}; what was encoded is kept: run this again, with fewer "
            "workers where memory is short"
        )
    worker.deaths += 1
    worker.stages.clear()
    if say:
        say(f"worker {worker.share} {end}; it starts again")
    worker.start(messages)


def _end(team: Sequence[_Worker]) -> None:
    """Ask all workers that still run to commit and end, and wait for them."""
    running = [one.process for one in team if one.process and one.process.poll() is None]
    for process in running:
        process.terminate()
    until = time.monotonic() + END_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for one in team:
        if one.reader:
            one.reader.join()
        one.log.close()


def _cores(workers: int) -> list[list[int]]:
    """The cores of each worker; all of them where there are fewer cores than workers."""
    if not hasattr(os, "sched_getaffinity"):
        each = max(1, cpu_threads() // workers)
        return [list(range(each))] * workers
    cores = sorted(os.sched_getaffinity(0))[: max(1, cpu_threads())]
    if workers > len(cores):
        return [[cores[number % len(cores)]] for number in range(workers)]
    bounds = [len(cores) * number // workers for number in range(workers + 1)]
    return [cores[start:end] for start, end in pairwise(bounds)]


def _on_device(job: BuildJob, number: int, workers: int) -> BuildJob:
    """The job on one of the GPUs, where there are several and none is named."""
    if job.device not in (None, "cuda") or workers == 1 or not cuda_is_available():
        return job
    import torch

    return replace(job, device=f"cuda:{(number - 1) % torch.cuda.device_count()}")
