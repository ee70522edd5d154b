"""One summary of several workers."""

from collections import Counter
from collections.abc import Sequence

from ..encode.build import BuildSummary, busy_share


def total_of(summaries: Sequence[BuildSummary], seconds: float, workers: int) -> BuildSummary:
    """The summary of all shares, in their order; ``seconds`` is the wall-clock time of the whole.

    Counts are added up. Seconds by stage are means over the workers, which were at work at the same time,
    whether each had one share or one after the other.
    """
    at_once = min(workers, len(summaries))
    encoded = sum(one.encoded for one in summaries)
    stages = dict.fromkeys(stage for one in summaries for stage in one.seconds)
    means = {
        stage: round(sum(one.seconds.get(stage, 0.0) for one in summaries) / at_once, 3) for stage in stages
    }
    means["total"] = round(seconds, 3)
    reasons: Counter[str] = Counter()
    for one in summaries:
        reasons.update(one.rejects)
    at_work = seconds - means.get("prepare", 0.0)
    padding = sum(one.padding * one.encoded for one in summaries) / encoded if encoded else 0.0
    return BuildSummary(
        rows=sum(one.rows for one in summaries),
        distinct=sum(one.distinct for one in summaries),
        cached=sum(one.cached for one in summaries),
        encoded=encoded,
        truncated=sum(one.truncated for one in summaries),
        longest=max(one.longest for one in summaries),
        rejected=sum(one.rejected for one in summaries),
        rejects=dict(reasons.most_common()),
        first_reject=next((one.first_reject for one in summaries if one.first_reject), ""),
        rejects_file=next((one.rejects_file for one in summaries if one.rejects_file), None),
        seconds=means,
        texts_per_second=round(encoded / at_work, 1) if encoded else 0.0,
        encoder_busy=round(busy_share(means), 4),
        padding=round(padding, 4),
        encoder=", ".join(dict.fromkeys(one.encoder for one in summaries if one.encoder)),
        feature_set=summaries[0].feature_set,
        version=max(one.version for one in summaries),
    )
