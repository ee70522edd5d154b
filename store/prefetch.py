"""The next items made by other threads while this one is used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, cast

S = TypeVar("S")
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


def computed_ahead(
    function: Callable[[S], T], items: Iterable[S], name: str, *, threads: int
) -> Generator[T, None, None]:
    """``function`` of each item, in their order, by so many threads, each at most one item ahead; without any, none is.

    An exception in a thread is raised here, in its turn. The threads end with this generator, as that of :func:`prefetched`.
    """
    if threads < 1:
        yield from map(function, items)
        return
    following: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix=name) as pool:
        for item in items:
            following.append(pool.submit(function, item))
            if len(following) > threads:
                yield following.popleft().result()
        while following:
            yield following.popleft().result()
