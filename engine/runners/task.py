"""What a worker can be given: a task of any kind, which turns to JSON, and whose result does.

A kind of task is a class, a frozen dataclass as a rule, that has what :class:`Task` names. A worker imports
it by the name of its module. What every kind gets so: a worker of another enc refuses the task, and is in the
folder in which the work was started, so that names of files mean the same.
"""

import json
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol, Self

from ...store import WorkerError
from ...store.progress import Progress


class Task(Protocol):
    """Work that one worker does, and that may be done again from its beginning, if the worker is killed."""

    @property
    def folder(self) -> str:
        """The current folder of who started the work: ``os.getcwd()``, at that time."""
        ...

    @property
    def title(self) -> str:
        """What messages call the worker that has it: ``3/8``."""
        ...

    @property
    def device(self) -> str | None:
        """The device that was asked for; where it is None or ``cuda``, :meth:`on_device` may name one."""
        ...

    def on_device(self, device: str) -> Self:
        """The same work on one of several GPUs, such as ``cuda:1``."""
        ...

    def to_json(self) -> str:
        """All that a worker must know, as one line of JSON."""
        ...

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The task of :meth:`to_json`."""
        ...

    def run(self, *, progress: Progress | None, say: Callable[[str], None] | None) -> Any:
        """Do the work in this process; returns what JSON can hold.

        ``progress`` hears how far each stage has come, and ``say`` what is to be told in a line. An EncError
        ends the work of all workers. On KeyboardInterrupt, keep what is finished, and raise it on.
        """
        ...


class Team(Protocol):
    """Workers: processes of this machine, or Ray's."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """The results of tasks, in their order."""
        ...


def order_of(task: Task) -> str:
    """A task with what any worker needs to begin it, as one line of JSON."""
    kind = type(task)
    order = {
        "version": version("enc-features"),
        "folder": task.folder,
        "kind": f"{kind.__module__}:{kind.__qualname__}",
        "task": task.to_json(),
    }
    return json.dumps(order, ensure_ascii=False)


def task_of(order: str) -> Task:
    """The task of :func:`order_of`; the process is in its folder from now on.

    Raises WorkerError where another enc wrote the order, and where the folder is not here.
    """
    fields: dict[str, str] = json.loads(order)
    require_version(fields["version"])
    module, _, name = fields["kind"].partition(":")
    kind = getattr(import_module(module), name)
    task: Task = kind.from_json(fields["task"])
    try:
        os.chdir(fields["folder"])
    except OSError as error:
        raise WorkerError(
            f"the worker cannot see the folder '{fields['folder']}', in which the work was started; start it "
            "in a folder that all machines share"
        ) from error
    return task


def require_version(there: str | None) -> None:
    """Raise WorkerError unless the work was started by the same version of enc."""
    here = version("enc-features")
    if here != there:
        raise WorkerError(
            f"enc {here} is installed where the worker runs, and enc {there} started the work; install the "
            "same version in both places"
        )
