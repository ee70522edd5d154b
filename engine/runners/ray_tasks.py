"""Workers as Ray tasks: each keeps what it finds by itself, so that Ray carries no features."""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Self

from ...store import EncError, WorkerError
from ...store.progress import Progress, hears_progress, tell
from ...store.share import WHOLE, Share
from ..encode.build import BuildSummary
from .build import build_with
from .job import BuildJob
from .task import Task, order_of, task_of

RETRIES = 3  # of a task whose worker or node died; what it had committed is not encoded again
WAIT_SECONDS = 1.0
CONNECT_SECONDS = 10.0
ASK_SECONDS = 1.0
STOP_SECONDS = 30.0  # which tasks have to hear of the stop, and to commit what they have


@hears_progress
def build_with_ray(
    job: BuildJob,
    workers: int | None,
    *,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    share: Share = WHOLE,
    first_pass: str = "auto",
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> BuildSummary:
    """Build a share of the job by Ray tasks; raises as :class:`RayTasks`.

    ``first_pass`` is as of :func:`enc.engine.runners.build.build_with`. All machines must see the source, the
    store and the model under the same names, and have the same enc.
    """
    with RayTasks(workers, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker) as team:
        return build_with(team, job, share, first_pass=first_pass, say=say)


@hears_progress
def run_with_ray(
    tasks: Sequence[Task],
    workers: int | None,
    *,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    progress: Progress | None = None,
) -> list[Any]:
    """Have tasks done by Ray, so many at a time; returns their results, in the order of the tasks.

    ``progress`` hears of finished tasks. Raises as :class:`RayTasks`.
    """
    with RayTasks(workers, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker) as team:
        return team.run(tasks)


class RayTasks:
    """Tasks on the cluster that RAY_ADDRESS names, or on a Ray of its own on this machine, for several runs::

        with RayTasks(None) as team:
            found = team.run(tasks)

    Raises WorkerError where Ray is missing, where no node has what one task needs, and for the first error
    of any task.
    """

    workers: int
    """Tasks that run at a time: as many as the cluster has places for, unless given."""

    def __init__(self, workers: int | None, *, cpus_per_worker: float = 1, gpus_per_worker: float = 0):
        self._asked, self._cpus, self._gpus = workers, cpus_per_worker, gpus_per_worker

    def __enter__(self) -> Self:
        self._ray = ray = _ray()
        with ExitStack() as scope:
            if not ray.is_initialized():
                _connect(ray)
                scope.callback(ray.shutdown)
            self.workers = self._asked or _places(ray, self._cpus, self._gpus)
            _require_place(ray, self._cpus, self._gpus)
            threads = {"OMP_NUM_THREADS": str(max(1, int(self._cpus)))}
            self._remote = ray.remote(
                num_cpus=self._cpus,
                num_gpus=self._gpus,
                max_retries=RETRIES,
                retry_exceptions=False,
                runtime_env={"env_vars": threads},  # Ray sets it only where nobody has: the tasks share cores
            )(do_task)
            self._stop_flag = ray.remote(num_cpus=0)(StopFlag).remote()
            self._scope = scope.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        del self._stop_flag  # the actor ends with its last handle
        self._scope.close()

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """The results of tasks: see :func:`run_with_ray`."""
        waiting = deque(range(len(tasks)))
        running: dict[Any, int] = {}  # the number of the task of a reference
        results: dict[int, Any] = {}
        try:
            while len(results) < len(tasks):
                while waiting and len(running) < self.workers:
                    number = waiting.popleft()
                    running[self._remote.remote(order_of(tasks[number]), self._stop_flag)] = number
                tell("working", len(results), len(tasks))
                ready, _ = self._ray.wait(list(running), timeout=WAIT_SECONDS)
                for reference in ready:
                    results[running.pop(reference)] = _result(self._ray, reference)
        except BaseException:
            self._stop(list(running))
            raise
        tell("working", len(tasks), len(tasks))
        return [results[number] for number in range(len(tasks))]

    def _stop(self, running: list[Any]) -> None:
        # Not by ray.cancel: where it meets a task that begins or ends just then, Ray 2.60 fails a check of
        # its own, and aborts the whole process.
        self._stop_flag.set.remote()
        if running:
            self._ray.wait(running, num_returns=len(running), timeout=STOP_SECONDS)


class StopFlag:
    """An actor that tells tasks whether they are to stop."""

    def __init__(self):
        self._is_set = False

    def set(self) -> None:
        """Have all tasks stop."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether tasks are to stop."""
        return self._is_set


def heeding(flag: Any) -> Progress:
    """Progress of a task, which ends it as Ctrl-C would once the flag is set, so that it keeps what it has.

    The flag is asked at most once in ASK_SECONDS, and its answer is never waited for.
    """
    answer, asked = flag.is_set.remote().future(), time.monotonic()

    def hear(stage: str, done: int, total: int, remark: str = "", /) -> None:
        nonlocal answer, asked
        if not answer.done():
            return
        if answer.exception() is None and answer.result():
            raise KeyboardInterrupt
        if time.monotonic() - asked >= ASK_SECONDS:
            answer, asked = flag.is_set.remote().future(), time.monotonic()

    return hear


def do_task(order: str, flag: Any) -> dict[str, Any]:
    """The task. An error that a user can mend is returned, because raising one would be tried again."""
    try:
        return {"result": task_of(order).run(progress=heeding(flag), say=None)}
    except EncError as error:
        return {"error": str(error)}
    except KeyboardInterrupt:
        return {"error": "stopped, because another task had failed or the command was interrupted"}


def _result(ray: Any, reference: Any) -> Any:
    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        raise WorkerError(
            f"a Ray task failed: {lines[-1] if lines else type(error).__name__}; what was finished is kept: "
            "run this again"
        ) from error
    if "error" in found:
        raise WorkerError(found["error"])
    return found["result"]


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise WorkerError("Ray is not installed; pip install 'enc-features[ray]'") from error
    return ray


def _connect(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _require_answer(address)
    options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"the cluster at RAY_ADDRESS={address}" if address else "a Ray of its own"
        raise WorkerError(f"cannot start {where}: {str(error).splitlines()[0]}") from error


def _require_answer(address: str) -> None:
    """Raise WorkerError unless something listens at ``host:port``: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return  # a name such as auto or local
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(
            f"nothing answers at RAY_ADDRESS={address} ({error}); start the cluster there, or unset it for a "
            "Ray of its own on this machine"
        ) from error


def _nodes(ray: Any) -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_place(ray: Any, cpus: float, gpus: float) -> None:
    """Raise WorkerError unless one node has what a task needs: else Ray would wait for ever."""
    nodes = _nodes(ray)
    if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        return
    largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
    raise WorkerError(
        f"no node of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs, which one worker needs; the "
        f"largest has {largest.get('CPU', 0):g} and {largest.get('GPU', 0):g}: pass --cpus-per-worker and "
        "--gpus-per-worker"
    )


def _places(ray: Any, cpus: float, gpus: float) -> int:
    """How many tasks the cluster can run at once."""
    places = 0
    for node in _nodes(ray):
        by_cpu = node.get("CPU", 0) // cpus if cpus else float("inf")
        by_gpu = node.get("GPU", 0) // gpus if gpus else float("inf")
        fitting = min(by_cpu, by_gpu)
        places += int(fitting) if fitting != float("inf") else 1
    return max(1, places)
