"""How many of torch's threads a computation is worth.

Threads that share a step of less than a millisecond meet several times in it. On a machine of their
own that gains little; where other work takes turns with one of them, all wait for it at each
meeting, and the step takes many times as long as on one thread.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import torch

T = TypeVar("T")

SMALL_STEP = 16 << 20
"""Multiplications of a forward pass, below which a second thread gains less than it may cost."""


@contextmanager
def one_thread(where: bool = True) -> Iterator[None]:
    """Torch computes on one thread inside, if ``where``, and afterwards on as many as before."""
    threads = torch.get_num_threads()
    if where and threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def is_small_step(parameters: int, rows: int, positions: int = 1) -> bool:
    """Whether a step over so many rows is best computed on one thread.

    ``positions`` is the number of times that a row meets each parameter.
    """
    return parameters * rows * positions < SMALL_STEP


def in_shares(
    work: Callable[[int, int], T], rows: int, *, threads: int | None = None, shares: int | None = None
) -> list[T]:
    """Results of ``work(first, stop)`` for equal shares of the rows, in the order of the rows.

    There are as many threads as torch has, and as many shares as threads, unless given. Threads that meet
    once, in the end, wait less for each other than threads that share every operation.
    """
    threads = threads or torch.get_num_threads()
    shares = max(1, min(shares or threads, rows))
    if shares == 1:
        return [work(0, rows)]
    bounds = pairwise(rows * share // shares for share in range(shares + 1))
    with (
        one_thread(),
        ThreadPoolExecutor(min(threads, shares), thread_name_prefix="enc-share") as pool,
    ):
        return list(pool.map(lambda share: work(*share), bounds))
