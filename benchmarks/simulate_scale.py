"""A build of 10^9 texts by many workers that fail, simulated from costs that were measured.

Time passes in events: a worker reads the source, encodes a commit's worth of texts, puts its shards, commits,
and may be killed on the way, at random times of an exponential distribution. A kill costs what was encoded
since the last commit, the time until the worker starts again, and another reading of the source and of the
stored keys. Commits to a log are one after the other: who finds another's commit in its way tries again.
"""

import argparse
import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..engine.runners.build import tasks_for

KEY_BYTES = 32
SHARD_BYTES = 256 << 20
FULL_SHARDS = 4  # that are committed at once


@dataclass(frozen=True)
class Costs:
    """What was measured, or is assumed, of one worker."""

    texts_per_second: float = 300.0
    read_rows_per_second: float = 500_000.0
    """Of the source, hashed and staged, or left out as another share's."""
    part_rows_per_second: float = 280_000.0
    """Of the source, in a first pass: read, hashed, staged, sorted and written."""
    range_rows_per_second: float = 380_000.0
    """Of a share, read and staged of what a first pass wrote."""
    part_bytes: float = 115.0
    """In the store for each text until a build by a first pass ends."""
    look_up_rows_per_second: float = 1_500_000.0
    """Of stored keys, against a share's."""
    stage_bytes: float = 46.0
    """In the temporary folder for each of a share's rows, beside its text."""
    text_bytes: float = 150.0
    put_bytes_per_second: float = 200e6
    commit_seconds: float = 0.05
    """That a commit takes nobody else can make one."""
    start_seconds: float = 20.0
    """Until a worker's first row is read: imports, the model, and after a kill another place for it."""


@dataclass(frozen=True)
class Plan:
    """What is built, and by how many."""

    texts: int = 10**9
    row_bytes: int = 768 * 2
    workers: int = 1
    commit_after: float = 300.0
    """Seconds from the first text of a commit to the commit."""
    hours_between_kills: float = 24.0
    """Of one worker, on average; 0 for none."""
    seed: int = 0
    first_pass: bool = False
    """Whether the source is read once for all workers first, and each then reads its own texts and keys, a
    share after the other; else each worker reads all.
    """

    @property
    def share(self) -> int:
        """Texts of each worker."""
        return -(-self.texts // self.workers)

    @property
    def task(self) -> int:
        """Texts that a worker reads at a time."""
        return -(-self.texts // tasks_for(self.workers, self.texts)) if self.first_pass else self.share


@dataclass
class Outcome:
    """What a simulated build took."""

    hours: float = 0.0
    kills: int = 0
    lost_texts: int = 0
    """Encoded, and encoded again."""
    commits: int = 0
    retries: int = 0
    """Commits that found another one in their way."""
    shards: int = 0
    waited_seconds: float = 0.0
    """For the log, by all workers."""
    temporary_gb: float = 0.0
    """On the disk of one worker."""
    store_gb: float = 0.0
    """In the store, by a first pass, until the build ends."""
    busy: float = 0.0
    """Share of the workers' time in which texts were encoded that stayed."""


def start_cost(plan: Plan, costs: Costs, stored: int, rows: int) -> float:
    """Seconds from the start of a worker to its first encoded text, with so many texts stored by all.

    ``rows`` are what it reads of a first pass.
    """
    if plan.first_pass:
        read = rows / costs.range_rows_per_second
        return costs.start_seconds + read + stored / plan.texts * rows / costs.look_up_rows_per_second
    read = plan.texts / costs.read_rows_per_second
    return costs.start_seconds + read + stored / costs.look_up_rows_per_second


def simulate(plan: Plan, costs: Costs) -> Outcome:
    """Play a build through. The same plan, costs and seed give the same outcome."""
    chance = random.Random(plan.seed)
    outcome = Outcome()
    # A commit has four full shards, or what was encoded in its time.
    full = max(1, FULL_SHARDS * SHARD_BYTES // (plan.row_bytes + KEY_BYTES + 5))
    texts_a_commit = max(1, min(full, int(plan.commit_after * costs.texts_per_second)))
    log_free_at, stored = 0.0, 0
    left = [plan.share] * plan.workers
    first_pass = plan.texts / costs.part_rows_per_second / plan.workers if plan.first_pass else 0.0
    begins_at = first_pass + start_cost(plan, costs, 0, plan.share)  # all that it reads of its tasks
    events = [(begins_at, worker, 0) for worker in range(plan.workers)]  # texts of 0: it begins to encode
    killed_at = [_next_kill(plan, chance, 0.0) for _ in range(plan.workers)]
    while events:
        now, worker, some = heapq.heappop(events)
        if not some:
            some = min(texts_a_commit, left[worker])
            row_bytes = some * (plan.row_bytes + KEY_BYTES + 5)
            put_at = now + some / costs.texts_per_second + row_bytes / costs.put_bytes_per_second
            if killed_at[worker] >= put_at:
                heapq.heappush(events, (put_at, worker, some))
                continue
            died = killed_at[worker]  # which may be while it still reads
            outcome.kills += 1
            outcome.lost_texts += max(0, min(some, int((died - now) * costs.texts_per_second)))
            killed_at[worker] = _next_kill(plan, chance, died)
            heapq.heappush(events, (died + start_cost(plan, costs, stored, plan.task), worker, 0))
            continue
        begins = max(now, log_free_at)
        outcome.retries += begins > now
        outcome.waited_seconds += begins - now
        log_free_at = begins + costs.commit_seconds
        outcome.commits += 1
        outcome.shards += -(-some * (plan.row_bytes + KEY_BYTES + 5) // SHARD_BYTES)
        stored += some
        left[worker] -= some
        outcome.hours = max(outcome.hours, log_free_at / 3600)
        if left[worker] > 0:
            heapq.heappush(events, (log_free_at, worker, 0))
    staged = plan.task * (costs.stage_bytes + costs.text_bytes)
    outcome.store_gb = plan.texts * costs.part_bytes / 1e9 if plan.first_pass else 0.0
    written = 2 * FULL_SHARDS * SHARD_BYTES
    outcome.temporary_gb = (staged + min(written, plan.share * plan.row_bytes)) / 1e9
    at_work = plan.texts / costs.texts_per_second
    outcome.busy = at_work / (outcome.hours * 3600 * plan.workers) if outcome.hours else 0.0
    return outcome


def _next_kill(plan: Plan, chance: random.Random, now: float) -> float:
    if not plan.hours_between_kills:
        return float("inf")
    return now + chance.expovariate(1 / (plan.hours_between_kills * 3600))


def report(plan: Plan, costs: Costs, workers: Sequence[int], hours: Sequence[float]) -> str:
    """A table of outcomes in Markdown, by number of workers and by hours between the kills of one."""
    titles = (
        "workers", "hours between kills of one", "hours", "with a first pass", "kills", "texts lost",
        "commits", "waited for the log", "shards", "temporary GB a worker", "with a first pass", "busy",
    )  # fmt: skip
    lines = [
        "# A build of many texts, simulated",
        "",
        f"{plan.texts:,} texts, {plan.row_bytes:,} bytes of features each; a commit after "
        f"{plan.commit_after:g} s or {FULL_SHARDS} full shards. Seed {plan.seed}.",
        "",
        "Each worker reads the whole source and leaves out the other shares. *With a first pass*: the source "
        "is read once for all, as enc does for more than 16 workers, which takes "
        f"{plan.texts * costs.part_bytes / 1e9:,.0f} GB of the store until the build ends. What a kill costs "
        "in the first pass itself, the file that is being read, is left out.",
        "",
        f"| {' | '.join(titles)} |",
        f"|{' ---: |' * len(titles)}",
    ]
    for between in hours:
        for count in workers:
            case = replace(plan, workers=count, hours_between_kills=between)
            found, ranged = simulate(case, costs), simulate(replace(case, first_pass=True), costs)
            cells = (
                f"{count}", f"{between or 'none'}", f"{found.hours:.1f}", f"{ranged.hours:.1f}",
                f"{found.kills:,}", f"{found.lost_texts:,}", f"{found.commits:,}",
                f"{found.retries:,} times, {found.waited_seconds:.0f} s", f"{found.shards:,}",
                f"{found.temporary_gb:.1f}", f"{ranged.temporary_gb:.1f}", f"{found.busy:.1%}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Costs of a worker: {json.dumps(asdict(costs))}", ""]
    return "\n".join(lines)


def main() -> None:
    """Print the report, or write it to a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--hours-between-kills", type=float, nargs="+", default=[0.0, 24.0, 4.0])
    parser.add_argument("--texts", type=int, default=10**9)
    parser.add_argument("--commit-after", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", metavar="FILE")
    for name, value in asdict(Costs()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    given = parser.parse_args()
    costs = Costs(**{name: getattr(given, name) for name in asdict(Costs())})
    plan = Plan(texts=given.texts, commit_after=given.commit_after, seed=given.seed)
    text = report(plan, costs, given.workers, given.hours_between_kills)
    if given.output:
        Path(given.output).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
