"""What an interruption must not break off halfway."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def shielded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function returns, which comes to its end even if Ctrl-C or a signal arrives meanwhile.

    Their exception is raised here when the function has ended. Python handles signals in the main thread
    alone; so the function runs in another one.
    """
    with ThreadPoolExecutor(1, "enc-shielded") as thread:
        return thread.submit(copy_context().run, function, *args, **kwargs).result()
