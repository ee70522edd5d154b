import itertools

import pytest
import torch
from enc.engine.sweep import ways
from enc.engine.sweep.ways import Way, quickest_way, way_text


class Clock:
    """A clock that steps move on."""

    def __init__(self, taken):
        self.now, self.taken, self.steps = 0.0, taken, []

    def perf_counter(self):
        return self.now

    def step(self, way):
        assert torch.get_num_threads() == way.threads
        self.steps.append(way)
        self.now += self.taken[way]


WAYS = [Way(stacked, threads) for stacked, threads in itertools.product([True, False], [1, 2])]


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("best", WAYS, ids=str)
def test_the_quickest_is_taken(monkeypatch, best):
    clock = Clock({way: 1.0 if way == best else 2.0 for way in WAYS})
    monkeypatch.setattr(ways, "time", clock)
    way, seconds = quickest_way(clock.step, 1000, heads=10, can_follow=True, is_small=True)
    assert way == best
    assert seconds == clock.taken
    assert str(best) in way_text(way, seconds)
    assert all(str(other) in way_text(way, seconds) for other in WAYS)


def test_a_hopeless_way_is_timed_twice(monkeypatch):
    slow = Way(False, 2)
    clock = Clock({way: 1000.0 if way == slow else 1.0 for way in WAYS})
    monkeypatch.setattr(ways, "time", clock)
    quickest_way(clock.step, 1000, heads=10, can_follow=True, is_small=True)
    assert clock.steps.count(slow) == 3  # and once before


def test_one_slow_step_decides_nothing(monkeypatch):
    clock = Clock({way: 1.0 if way == Way(True, 1) else 2.0 for way in WAYS})
    monkeypatch.setattr(ways, "time", clock)

    def step(way):
        clock.step(way)
        if way == Way(True, 1) and clock.steps.count(way) == 3:
            clock.now += 100  # other work had the processor

    assert quickest_way(step, 1000, heads=10, can_follow=True, is_small=True)[0] == Way(True, 1)


def test_several_threads_must_gain_a_fifth(monkeypatch):
    clock = Clock({way: 0.9 if way.threads > 1 else 1.0 for way in WAYS})
    monkeypatch.setattr(ways, "time", clock)
    assert quickest_way(clock.step, 1000, heads=10, can_follow=True, is_small=True)[0].threads == 1


def test_what_cannot_follow_is_a_stack(monkeypatch):
    clock = Clock(dict.fromkeys(WAYS, 1.0))
    monkeypatch.setattr(ways, "time", clock)
    assert quickest_way(clock.step, 1000, heads=3, can_follow=False, is_small=True)[0].is_stacked
    assert all(way.is_stacked for way in clock.steps)


@pytest.mark.parametrize(("is_small", "threads"), [(True, 1), (False, 2)])
def test_a_few_steps_are_not_measured(is_small, threads):
    way, seconds = quickest_way(lambda _: 1 / 0, 10, heads=4, can_follow=True, is_small=is_small)
    assert (way, seconds) == (Way(True, threads), {})
    assert way_text(way, seconds) == str(way)
