"""The next items made by other threads while this one is used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, cast

S = TypeVar("S")
T = TypeVar("T")


def prefetched(items: Iterator[T], name: str, *, ahead: int = 1) -> Generator[T, None, None]:
    """The items of an iterator, each made by another thread while an item before it is used.

    The thread, called ``name``, is never more than ``ahead`` items ahead. Its exception is raised here. It
    ends with this generator: when you close or leave the generator, the item in the making is the last.
    """
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        following = deque(thread.submit(next, items, end) for _ in range(ahead))
        try:
            while (item := following.popleft().result()) is not end:
                following.append(thread.submit(next, items, end))
                yield cast("T", item)
        finally:
            for one in following:
                one.cancel()


def computed_ahead(
    function: Callable[[S], T], items: Iterable[S], name: str, *, threads: int
) -> Generator[T, None, None]:
    """``function`` of each item, in the order of the items, computed by so many threads.

    Each thread is at most one item ahead; without threads, nothing is computed ahead. An exception in a
    thread is raised here, in its turn. The threads end with this generator, as in :func:`prefetched`.
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
