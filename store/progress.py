"""How far work has come: told by what is at work, heard by who asked for it.

What works says ``tell("encoding", done, total)``, and knows nothing of bars and lines. A callback hears all
that is told during ``with heard_by(callback)`` in the same thread; threads that are started meanwhile tell it
what :func:`listener` gave before they began.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Progress(Protocol):
    """A callback that hears of progress."""

    def __call__(self, stage: str, done: int, total: int, remark: str = "", /) -> None:
        """Hear how much of a stage is done, and how much there is, 0 where that is unknown.

        ``remark`` is something to show beside it, such as the loss. An exception that is raised here ends
        the work.
        """
        ...


STAGES = {
    "reading": "rows",
    "tokenizing": "texts",
    "encoding": "texts",
    "writing": "texts",
    "sorting": "texts",
    "working": "workers",
    "measuring": "ways",
    "training": "steps",
    "solving": "heads",
    "sweeping": "heads",
    "judging": "folds",
    "evaluating": "batches",
    "comparing": "rows",
    "computing": "rows",
    "scoring": "rows",
    "gathering": "rows",
    "checking": "vectors",
    "storing": "vectors",
    "verifying": "shards",
    "compacting": "shards",
    "deleting": "shards",
    "clearing": "files",
    "drawing": "charts",
    "benchmarks": "parts",
    "repeating": "runs",
}
"""The stages that there are, and what is counted in each."""


def unheard(stage: str, done: int, total: int, remark: str = "", /) -> None:
    """What is told where nobody listens."""


_LISTENER: ContextVar[Progress] = ContextVar("enc_progress", default=unheard)


def listener() -> Progress:
    """What hears of progress in this thread; a function that does nothing where there is none."""
    return _LISTENER.get()


def tell(stage: str, done: int, total: int = 0, remark: str = "") -> None:
    """Tell how far a stage has come. It is at its end when ``done`` is ``total``."""
    _LISTENER.get()(stage, done, total, remark)


def counted(items: Iterable[T], stage: str, done: int, total: int) -> Iterator[T]:
    """The items, each of which is told to be done when the next one is asked for."""
    told = listener()
    told(stage, done, total)
    for item in items:
        yield item
        done += 1
        told(stage, done, total)


@contextmanager
def heard_by(progress: Progress | None) -> Iterator[None]:
    """During a block, progress is told to a callback; None leaves it to who listens already."""
    if progress is None:
        yield
        return
    token = _LISTENER.set(progress)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def hears_progress(function: F) -> F:
    """A function whose keyword ``progress`` is a callback that hears of progress during its call, or None."""

    @wraps(function)
    def heard(*args: Any, **kwargs: Any) -> Any:
        with heard_by(kwargs.get("progress")):
            return function(*args, **kwargs)

    return cast("F", heard)
