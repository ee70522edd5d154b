"""The next item made by a second thread while this one is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

T = TypeVar("T")


def prefetched(items: Iterator[T], name: str) -> Generator[T, None, None]:
    """The same items, each begun when the one before it is handed out, and never more than one ahead.

    An exception in the thread (called ``name``) is raised here. The thread ends with this generator:
    close it, or leave it, and the item in the making is the last.
    """
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        following = thread.submit(next, items, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, items, end)
            yield cast("T", item)
