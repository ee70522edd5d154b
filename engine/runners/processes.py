"""Workers as processes of this machine: one for each GPU, or for a share of the cores."""

import os
import queue
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

from ...store import WorkerError
from ...store.progress import Progress, hears_progress
from ...store.share import WHOLE, Share
from ..encode.build import BuildSummary
from ..encode.devices import cpu_threads, cuda_is_available
from .build import build_with
from .job import BuildJob
from .stages import Stages
from .task import Task
from .worker_process import Messages, WorkerProcess, end

CORES_PER_WORKER = 4
RETRIES = 2  # of a task whose worker was killed; what it had committed is not encoded again


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
    first_pass: str = "auto",
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> BuildSummary:
    """Build a share of the job by so many processes, each of which commits what it encodes.

    ``first_pass`` is as of :func:`enc.engine.runners.build.build_with`. Raises as :func:`run_in_processes`.
    """
    _require_workers(workers)
    with Processes(workers, job.device, say) as team:
        return build_with(team, job, share, first_pass=first_pass, say=say)


@hears_progress
def run_in_processes(
    tasks: Sequence[Task],
    workers: int,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Any]:
    """Have tasks done by so many processes; returns their results, in the order of the tasks.

    Each process takes the next task when it has done one. ``progress`` hears of each stage, all tasks added
    up, and ``say`` what the first process tells. A task whose worker was killed begins again, up to RETRIES
    times. Raises WorkerError for the first error of any task, after the other workers have kept what they
    have finished, and without ``workers``.
    """
    _require_workers(workers)
    if not tasks:
        return []
    with Processes(min(workers, len(tasks)), tasks[0].device, say) as team:
        return team.run(tasks)


class Processes:
    """Worker processes, for several runs of tasks; they end with the block::

    with Processes(4) as team:
        found = team.run(tasks)
    """

    def __init__(self, workers: int, device: str | None = None, say: Callable[[str], None] | None = None):
        """``device`` is what the tasks ask for: of several GPUs each worker has one, unless one is named.

        ``say`` hears what the first worker tells, and which ones start again.
        """
        self.workers = workers
        self._say, self._said = say or (lambda _: None), set[str]()
        devices = _devices(device, workers)
        self._team = [
            WorkerProcess(number, cores, given)
            for number, (cores, given) in enumerate(zip(_cores(workers), devices, strict=True), 1)
        ]
        self._messages: Messages = queue.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._team)

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """The results of tasks: see :func:`run_in_processes`. After an error, nothing more can be run."""
        waiting, stages = deque(range(len(tasks))), Stages(len(tasks))
        results: dict[int, Any] = {}
        deaths = [0] * len(tasks)
        for worker in self._team:
            if waiting:
                self._give(worker, waiting.popleft(), tasks)
        while len(results) < len(tasks):
            worker, message = self._messages.get()
            number = worker.task
            if "note" in message:
                self._note(worker, message["note"])
            elif "ended" in message:
                code = worker.ended()
                if number is not None:
                    deaths[number] += 1
                    how = _require_killed(worker, tasks[number], code, deaths[number])
                    stages.begin_again(number)
                    self._say(f"worker {tasks[number].title} {how}; it starts again")
                    self._give(worker, number, tasks)
            elif number is None:
                continue  # it was interrupted when it had nothing to do
            elif "progress" in message:
                stages.hear(number, *message["progress"])
            elif "error" in message:
                raise WorkerError(message["error"])
            elif "result" in message:
                results[number], worker.task = message["result"], None
                stages.end(number)
                if waiting:
                    self._give(worker, waiting.popleft(), tasks)
        return [results[number] for number in range(len(tasks))]

    def _note(self, worker: WorkerProcess, note: str) -> None:
        if worker.number == 1 and note not in self._said:
            self._said.add(note)
            self._say(note)

    def _give(self, worker: WorkerProcess, number: int, tasks: Sequence[Task]) -> None:
        worker.give(number, tasks[number], self._messages)


def _require_workers(workers: int) -> None:
    if workers < 1:
        raise WorkerError(f"{workers} workers do nothing; pass --workers 1 or more, or auto")


def _require_killed(worker: WorkerProcess, task: Task, code: int, deaths: int) -> str:
    """How a worker ended that may start again; raises WorkerError for one that may not."""
    how = f"ended with exit code {code}"
    if code <= 0:  # an interrupted one commits what it has, and ends with 0
        how = f"was killed by signal {-code}" if code else "was interrupted"
    words = worker.last_words()
    said = f" ({words})" if words else ""
    if code > 0 or deaths > RETRIES:
        raise WorkerError(
            f"worker {task.title} {how}{said}; what was finished is kept: run this again, with fewer "
            "workers where memory is short"
        )
    return how


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


def _devices(device: str | None, workers: int) -> list[str | None]:
    """One of the GPUs for each worker, where there are several and none is named; else None."""
    if device not in (None, "cuda") or workers == 1 or not cuda_is_available():
        return [None] * workers
    import torch

    return [f"cuda:{number % torch.cuda.device_count()}" for number in range(workers)]
