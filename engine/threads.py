"""How many of torch's threads a computation is worth.

Threads that share a step of less than a millisecond meet several times in it. On a machine of their
own that gains little; where other work takes turns with one of them, all wait for it at each
meeting, and the step takes many times as long as on one thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL_STEP = 16 << 20  # multiplications of a forward pass; below it a second thread gains less than it may cost


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
    """Whether a step over so many rows is best computed on one thread; ``positions`` is how often a row meets each parameter."""
    return parameters * rows * positions < SMALL_STEP
