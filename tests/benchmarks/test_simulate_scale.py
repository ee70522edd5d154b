from dataclasses import replace

import pytest
from enc.benchmarks.simulate_scale import Costs, Plan, report, simulate

COSTS = Costs(
    texts_per_second=10,
    read_rows_per_second=100,
    part_rows_per_second=50,
    range_rows_per_second=100,
    part_bytes=1e6,
    look_up_rows_per_second=1e12,
    put_bytes_per_second=1e12,
    commit_seconds=1,
    start_seconds=5,
)
PLAN = Plan(texts=1000, row_bytes=8, commit_after=20, hours_between_kills=0)


def test_a_small_build_without_kills_takes_what_a_pencil_says():
    """5 s to start, 10 s to read 1,000 rows; then five times 200 texts in 20 s, and a commit of 1 s."""
    found = simulate(PLAN, COSTS)
    assert found.hours * 3600 == pytest.approx(5 + 10 + 5 * (20 + 1), abs=1e-3)
    assert (found.commits, found.kills, found.lost_texts, found.retries, found.shards) == (5, 0, 0, 0, 5)


def test_two_workers_read_all_each_and_wait_for_the_log():
    """Both come to the log at 35, 57.. s: the second waits 1 s for the first, and is 1 s late ever after."""
    found = simulate(replace(PLAN, workers=2), COSTS)
    # 500 texts: 200, 200 and 100. The first to commit is free at 36, the other at 37.
    assert found.hours * 3600 == pytest.approx(15 + (20 + 2) + (20 + 1) + (10 + 1), abs=1e-3)
    assert (found.commits, found.retries) == (6, 1)
    assert found.waited_seconds == pytest.approx(1, abs=1e-3)


def test_many_workers_read_their_range_alone():
    found = simulate(replace(PLAN, workers=20, first_pass=True), COSTS)
    # the first pass reads and writes 1,000 rows at 50 by 20 workers; then 50 rows each at 100
    assert found.store_gb == pytest.approx(1)
    assert found.hours * 3600 == pytest.approx(1 + 5 + 0.5 + 5 + 20 * 1, abs=1e-3)


def test_a_seed_gives_one_outcome_and_kills_cost_what_was_not_committed():
    plan = replace(PLAN, texts=100_000, workers=3, hours_between_kills=0.1, seed=3)
    once, again, other = simulate(plan, COSTS), simulate(plan, COSTS), simulate(replace(plan, seed=4), COSTS)
    calm = simulate(replace(plan, hours_between_kills=0), COSTS)
    assert once == again != other
    assert once.kills > 0
    assert 0 < once.lost_texts <= once.kills * 200
    assert once.hours > calm.hours
    assert once.busy < calm.busy < 1


def test_the_report_has_a_row_for_each_case():
    lines = report(PLAN, COSTS, [1, 2], [0.0, 24.0]).splitlines()
    assert sum(line.startswith(("| 1 |", "| 2 |")) for line in lines) == 4
