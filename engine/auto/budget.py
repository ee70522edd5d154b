"""The time that a search has."""

import time
from collections.abc import Callable


class Budget:
    """Seconds that have gone by since a search began, and those that are left of its minutes."""

    def __init__(self, minutes: float, now: Callable[[], float] = time.perf_counter):
        self.minutes, self._now, self._start = minutes, now, now()
        self.reserved = 0.0
        """Seconds that are kept for what comes later."""

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self._now() - self._start

    @property
    def left(self) -> float:
        """Seconds that are left, without those that are reserved; below 0 when it is over."""
        return 60 * self.minutes - self.seconds - self.reserved
