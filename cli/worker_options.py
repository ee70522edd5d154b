"""Options of commands whose work several processes can divide."""

from typing import TYPE_CHECKING, Any

import click

from .grouped_help import options

if TYPE_CHECKING:
    from ..engine.runners.team import Workers

MOST_WORKERS = 1024
MOST_UNITS = 10_000  # processors or GPUs of one machine
WORKERS_HEADING = "Several processes and machines"

worker_options = options(
    click.option(
        "--workers",
        metavar="N",
        help="Processes that divide the work; auto: one for each GPU, or for every 4 cores.  [default: 1]",
    ),
    click.option(
        "--runner",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Where workers run: here, or on the Ray cluster that RAY_ADDRESS names.",
    ),
    click.option("--cpus-per-worker", type=float, metavar="N", help="Of a Ray task.  [default: 1]"),
    click.option("--gpus-per-worker", type=float, metavar="N", help="Of a Ray task.  [default: 0]"),
    heading=WORKERS_HEADING,
)


def workers_of(values: dict[str, Any]) -> "Workers | None":
    """The workers that the values of `worker_options` ask for; None where this process does the work."""
    from ..engine.runners.team import Workers
    from ..store import WorkerError

    asked, is_ray = values["workers"], values["runner"] == "ray"
    for unit in ("cpus", "gpus"):
        amount = values[f"{unit}_per_worker"]
        if amount is not None and not is_ray:
            raise WorkerError(f"--{unit}-per-worker is of Ray's tasks; add --runner ray, or leave it out")
        if amount is not None and not 0 <= amount <= MOST_UNITS:
            raise WorkerError(f"--{unit}-per-worker {amount}: pass a number from 0 to {MOST_UNITS}")
    count = _count(asked, values["device"], is_ray=is_ray)
    if is_ray:
        cpus, gpus = values["cpus_per_worker"], values["gpus_per_worker"]
        return Workers(count, "ray", 1.0 if cpus is None else cpus, gpus or 0.0)
    return None if count == 1 else Workers(count)


def _count(asked: str | None, device: str | None, *, is_ray: bool) -> int | None:
    """How many; None where Ray is to use all that it has."""
    from ..store import WorkerError

    if asked is None:
        return None if is_ray else 1
    if asked == "auto":
        from ..engine.runners.processes import suitable_workers

        return None if is_ray else suitable_workers(device)
    if not asked.isdecimal() or not 1 <= int(asked) <= MOST_WORKERS:
        raise WorkerError(f"--workers {asked}: pass a number from 1 to {MOST_WORKERS}, or auto")
    return int(asked)
