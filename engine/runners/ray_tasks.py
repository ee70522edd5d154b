"""Workers as Ray tasks: each builds a share and commits its own shards, so that Ray carries no features."""

import dataclasses
import logging
import os
import socket
import time
from typing import Any

from ...store import EncError, WorkerError
from ...store.progress import Progress, hears_progress, tell
from ...store.share import WHOLE, Share
from ..encode.build import BuildSummary
from .job import BuildJob
from .total import total_of

RETRIES = 3  # of a task whose worker or node died; what it had committed is not encoded again
WAIT_SECONDS = 1.0
CONNECT_SECONDS = 10.0


@hears_progress
def build_with_ray(
    job: BuildJob,
    workers: int | None,
    *,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    share: Share = WHOLE,
    progress: Progress | None = None,
) -> BuildSummary:
    """Build a share of the job by Ray tasks: on the cluster that RAY_ADDRESS names, or on this machine.

    ``workers`` is as many as the cluster can run at once unless given. ``progress`` hears of
    finished tasks. All machines must see the source, the store and the model under the same
    names, and have the same enc. Raises WorkerError where Ray is missing, where no node has what one task
    needs, and for the first error of any task.
    """
    ray = _ray()
    started = time.perf_counter()
    was_running = ray.is_initialized()
    if not was_running:
        _connect(ray)
    try:
        workers = workers or _places(ray, cpus_per_worker, gpus_per_worker)
        _require_place(ray, cpus_per_worker, gpus_per_worker)
        threads = {"OMP_NUM_THREADS": str(max(1, int(cpus_per_worker)))}
        task = ray.remote(
            num_cpus=cpus_per_worker,
            num_gpus=gpus_per_worker,
            max_retries=RETRIES,
            retry_exceptions=False,
            runtime_env={"env_vars": threads},  # Ray sets it only where nobody has: the tasks share cores
        )(build_share)
        waiting = [
            task.remote(job.to_json(), str(share.part(number + 1, workers))) for number in range(workers)
        ]
        order = {reference: number for number, reference in enumerate(waiting)}
        summaries: list[BuildSummary | None] = [None] * workers
        try:
            while waiting:
                tell("working", workers - len(waiting), workers)
                ready, waiting = ray.wait(waiting, timeout=WAIT_SECONDS)
                for reference in ready:
                    summaries[order[reference]] = _summary(ray, reference)
        except BaseException:
            for reference in waiting:
                ray.cancel(reference)  # it commits what it has
            raise
        tell("working", workers, workers)
    finally:
        if not was_running:
            ray.shutdown()
    return total_of([one for one in summaries if one], time.perf_counter() - started)


def build_share(job: str, share: str) -> dict[str, Any]:
    """The task. An error that a user can mend is returned, because raising one would be tried again."""
    try:
        return {"summary": dataclasses.asdict(BuildJob.from_json(job).build(Share.parse(share)))}
    except EncError as error:
        return {"error": str(error)}


def _summary(ray: Any, reference: Any) -> BuildSummary:
    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        raise WorkerError(
            f"a Ray task failed: {lines[-1] if lines else type(error).__name__}; what was encoded is kept: "
            "run this again"
        ) from error
    if "error" in found:
        raise WorkerError(found["error"])
    return BuildSummary(**found["summary"])


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
