"""Why a head was kept, and what would probably help next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .choice import Lead
from .curve import CurvePoint, last_gain
from .judged import Judged, Stopped

_EPOCHS = 4  # of a full fine-tune
_PASSES = 7  # of encoding, in time, that an epoch of a full fine-tune takes: 5.5 to 8 were measured


@dataclass(frozen=True)
class Facts:
    """What a search found out."""

    watched: str
    kept: Judged
    best: Judged
    words: Judged | None
    """Words alone."""
    stopped: Sequence[Stopped]
    curve: Sequence[CurvePoint]
    curve_of: Judged
    rows: int
    texts_per_second: float | None
    minutes: float
    lead: Lead[Judged]
    tuned: Sequence[Judged] = ()
    """Heads of more and more upper layers, as far as they were tried."""
    are_all_tuned: bool = False
    """Whether the last of these was of all layers."""


def reason(facts: Facts) -> str:
    """Why the head was kept, in a sentence."""
    kept, best, watched = facts.kept, facts.best, facts.watched
    if kept is best:
        return f"kept: {kept.name}, whose {watched} is the best"
    ahead, error = facts.lead(best, kept)
    return (
        f"kept: {kept.name}, the simplest of those that are as good as the best, which is: {best.name} "
        f"({_points(ahead)} ± {_points(error)} better)"
    )


def next_steps(facts: Facts) -> list[str]:
    """What would probably help next, the most promising first, a sentence each."""
    watched, found = facts.watched, []
    if facts.words is not None:
        ahead, error = facts.lead(facts.kept, facts.words)
        if ahead <= error:
            found.append(
                f"words alone do as well ({facts.words.mean:.4f}): a TF-IDF model needs no encoder, and "
                "another --model may know more of these texts"
            )
        elif facts.kept.base is not None:
            ahead, error = facts.lead(facts.kept.base, facts.words)
            if ahead <= error:
                found.append(
                    f"another --model: by itself, this one tells no more than words do "
                    f"({facts.kept.base.mean:.4f} and {facts.words.mean:.4f})"
                )
    is_rising = False
    if facts.curve:
        gain, error = last_gain(watched, facts.curve)
        is_rising = gain > 2 * error and gain > 0
        steps = ", ".join(f"{one.rows:,} rows {one.values.mean():.4f}" for one in facts.curve)
        told = f"{watched} of {facts.curve_of.name} by rows to learn from: {steps}"
        if is_rising:
            found.append(
                f"more rows: the last doubling of them brought {_points(gain)} ± {_points(error)}, and the "
                f"next one will probably bring somewhat less ({told})"
            )
        else:
            found.append(
                f"more rows will probably bring little: the last doubling of them brought {_points(gain)} ± "
                f"{_points(error)} ({told})"
            )
    tune = f"a full fine-tune (`enc fine-tune`), which changes the whole encoder{_tune_time(facts)}"
    if facts.tuned:
        reached = ", ".join(f"{one.name} {one.mean:.4f}" for one in facts.tuned)
        tune += f" ({facts.curve_of.name} {facts.curve_of.mean:.4f}, {reached})"
    place = len(found) if is_rising or not facts.curve else len(found) - 1
    if not facts.are_all_tuned:
        found.insert(0 if _pays_to_tune(facts) else place, tune)
    late = [one.name for one in facts.stopped if one.is_late]
    if late:
        found.append(
            f"more minutes (--minutes {2 * facts.minutes:g}): not tried to the end: {'; '.join(late)}"
        )
    return found


def _pays_to_tune(facts: Facts) -> bool:
    """Whether the most layers that were tuned are surely better than the fewer before them."""
    before = [facts.curve_of, *facts.tuned]
    if len(before) < 2:
        return False
    ahead, error = facts.lead(before[-1], before[-2])
    return ahead > error


def _tune_time(facts: Facts) -> str:
    if facts.texts_per_second is None:
        return ""
    minutes = round(_EPOCHS * _PASSES * facts.rows / facts.texts_per_second / 60)
    return f"; {_EPOCHS} epochs take roughly {minutes:,} minutes here" if minutes > 1 else ""


def _points(value: float | np.floating) -> str:
    """A difference of a metric, as in ``0.0123``."""
    return f"{float(value):.4f}"
