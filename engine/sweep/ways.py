"""How a step of many heads is computed: what is fastest on this machine, as it is now.

A stack is one operation for all heads where one after the other are many; but operations on stacks are slower
for their size, and threads that share small ones wait for each other. So a few steps of each way are timed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

_ROUNDS = 5
_HOPELESS = 4  # times the best median: a way that took this twice is tried no more
_ALONE = 1.25  # several threads must gain a fifth: where they wait for each other, they lose far more
_LEAST_STEPS = 50
"""Training of fewer steps is over before measuring has paid."""


@dataclass(frozen=True)
class Way:
    """A way to compute a step."""

    is_stacked: bool
    threads: int

    def __str__(self) -> str:
        how = "as one stack" if self.is_stacked else "one after the other"
        return f"{how} on {self.threads} thread{'s' * (self.threads > 1)}"

    @contextmanager
    def threads_set(self) -> Iterator[None]:
        """Torch computes on these threads inside, and afterwards on as many as before."""
        before = torch.get_num_threads()
        if before != self.threads:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)


def quickest_way(
    step: Callable[[Way], None], steps: int, *, heads: int, can_follow: bool, is_small: bool
) -> tuple[Way, dict[Way, float]]:
    """The quickest way, and the seconds that a step took in each: the median of a few tries.

    ``step`` computes one step in a way, and has no lasting effect. ``steps`` is how many will follow: where
    these are few nothing is measured, and ``is_small`` decides for one thread. With ``can_follow``, the heads
    may also be computed one after the other.
    """
    threads = torch.get_num_threads()
    if steps < _LEAST_STEPS:
        return Way(heads > 1 or not can_follow, 1 if is_small else threads), {}
    orders = [True, False] if can_follow else [True]
    ways = [Way(stacked, count) for count in dict.fromkeys((1, threads)) for stacked in orders]
    taken: dict[Way, list[float]] = {way: [] for way in ways}
    for number in range(_ROUNDS + 1):  # in turn: other work on the machine then hinders all of them alike
        for way in ways:
            known = [median(one) for one in taken.values() if one]
            if len(taken[way]) > 1 and min(taken[way]) > _HOPELESS * min(known):
                continue
            with way.threads_set():
                started = time.perf_counter()
                step(way)
                if number:  # the first step of a way fills caches
                    taken[way].append(time.perf_counter() - started)
    seconds = {way: median(one) for way, one in taken.items()}
    return min(ways, key=lambda way: seconds[way] * (_ALONE if way.threads > 1 else 1)), seconds


def way_text(way: Way, seconds: dict[Way, float]) -> str:
    """A way, and what a step took in it and in the others."""
    if len(seconds) < 2:
        return str(way)
    others = [f"{taken * 1e3:.2g} {other}" for other, taken in seconds.items() if other != way]
    return f"{way} (ms a step: {seconds[way] * 1e3:.2g}; {', '.join(others)})"
