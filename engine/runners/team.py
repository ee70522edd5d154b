"""How many workers there are and where they run, as a user chooses it for any kind of work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...store import WorkerError
from ...store.nearest import unknown
from .processes import Processes
from .ray_tasks import RayTasks
from .task import Team

RUNNERS = ("local", "ray")


@dataclass(frozen=True)
class Workers:
    """The workers that a user asked for.

    Raises WorkerError for a number below 1, and a runner that there is not.
    """

    count: int | None = None
    """How many; None for as many as the Ray cluster has places for."""
    runner: str = "local"
    """``local`` for processes of this machine, or ``ray``."""
    cpus: float = 1.0
    """Processors of a Ray task."""
    gpus: float = 0.0
    """GPUs of a Ray task."""

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise WorkerError(unknown("runner", self.runner, RUNNERS))
        if self.count is not None and self.count < 1:
            raise WorkerError(f"{self.count} workers do nothing; ask for 1 or more")

    @contextmanager
    def team(self, device: str | None = None, say: Callable[[str], None] | None = None) -> Iterator[Team]:
        """The workers, until the block ends; ``device`` is what their tasks ask for, and ``say`` is told what
        the first of several processes says.

        Raises WorkerError where there can be none.
        """
        if self.runner == "ray":
            with RayTasks(self.count, cpus_per_worker=self.cpus, gpus_per_worker=self.gpus) as tasks:
                yield tasks
        else:
            with Processes(self.count or 1, device, say) as processes:
                yield processes


@contextmanager
def team_of(
    workers: Workers | None, device: str | None = None, say: Callable[[str], None] | None = None
) -> Iterator[Team | None]:
    """The team of the workers that were asked for; None without any."""
    if workers is None:
        yield None
        return
    with workers.team(device, say) as team:
        yield team
