"""What `enc audit` prints: counts, and rows in lines that are aligned whatever script their texts are in."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .text import count_text, fitted, table_in_terminal, table_text

if TYPE_CHECKING:
    from ..engine import Audit

_LABEL_CELLS = 24
_Row = dict[str, Any]


def audit_text(found: "Audit", show: int) -> str:
    """Counts by reason, the worst rows of each, and what leaving out doubtful rows does."""
    from ..engine.audit.findings import REASONS

    parts = [_counts_text(found)]
    for reason, rows in _worst(found, show).items():
        more = found.rows_with(reason) - len(rows)
        where = " in the file" if found.output else "; --output FILE lists all"
        title = f"{REASONS[reason]}{f' (and {more:,} more{where})' if more else ''}"
        parts.append(f"{title}\n{_list_text(reason, rows)}")
    parts.append(_judged_text(found))
    if found.output:
        parts.append(f"{count_text(found.table.num_rows, 'row')} with a reason in '{found.output}'")
    return "\n\n".join(parts)


def audit_json(found: "Audit", show: int) -> dict[str, Any]:
    """Counts, figures, and the worst rows of each reason, as values."""
    values = {one.name: getattr(found, one.name) for one in dataclasses.fields(found) if one.name != "table"}
    return {
        **values,
        "difference": dataclasses.asdict(found.difference),
        "found": found.table.num_rows,
        "worst": _worst(found, show),
    }


def _worst(found: "Audit", show: int) -> dict[str, list[_Row]]:
    """The first rows of each reason that some have."""
    worst: dict[str, list[_Row]] = {}
    for reason in found.counts:
        rows = found.table_of(reason).slice(0, show).to_pylist()
        if rows:
            worst[reason] = rows
    return worst


def _counts_text(found: "Audit") -> str:
    from ..engine.audit.findings import REASONS

    sets = list(found.rows)
    rows = [["labelled rows", *(f"{found.rows[one]:,}" for one in sets)]]
    rows += [
        [REASONS[reason], *(f"{counts[one]:,}" for one in sets)] for reason, counts in found.counts.items()
    ]
    return table_text(["", *sets], rows, right=sets)


def _list_text(reason: str, rows: Sequence[_Row]) -> str:
    several = len({row["source"] for row in rows}) > len({row["set"] for row in rows})
    lines: list[list[str]] = []
    titles = ["row", "label", "text"]
    if reason == "wrong_label":
        titles = ["row", "label", "better", "score of label", "text"]
        for row in rows:
            scores = [_label(row["suggested"]), f"{row['label_score']:.3f}"]
            lines.append([_place(row, several), _label(row["label"]), *scores, _text(row)])
    elif reason == "outlier":
        lines = [[_place(row, several), _label(row["label"]), _text(row)] for row in rows]
    else:
        titles = ["row", "label", "cosine", "text"]
        for row in rows:
            cosine = "same" if row["cosine"] is None else f"{row['cosine']:.3f}"
            other = {name.removeprefix("like_"): row[name] for name in row if name.startswith("like_")}
            lines.append([_place(row, several), _label(row["label"]), cosine, _text(row)])
            lines.append([f"  {_place(other, several)}", _label(other["label"]), "", _text(other)])
    return table_in_terminal(titles, lines, right=["score of label", "cosine"])


def _place(row: _Row, several: bool) -> str:
    file = f" {fitted(row['source'].rpartition('/')[2], _LABEL_CELLS)}" if several else ""
    return f"{row['set']}{file} {row['row']}"


def _label(label: Any) -> str:
    if isinstance(label, list):
        label = ", ".join(map(str, label)) or "none"
    return fitted(f"{label:.4g}" if isinstance(label, float) else str(label), _LABEL_CELLS)


def _text(row: _Row) -> str:
    return row["text"] if row.get("pair") is None else f"{row['text']} | {row['pair']}"


def _judged_text(found: "Audit") -> str:
    doubtful, metric, by = found.counts["wrong_label"]["train"], found.metric, found.difference
    judged = (
        f"{metric} of heads that did not see a row ({found.folds} folds, l2 {found.l2:g}): "
        f"{_figure(found.of_all)} of all training rows"
    )
    if doubtful:
        judged += (
            f", {_figure(found.of_undoubted)} without the {doubtful:,} doubtful ones (which flatters: labels "
            "are doubtful where these heads are wrong)"
        )
    lines = [judged]
    if by.with_all is not None and by.without is not None and by.left_out:
        change = by.without - by.with_all
        error = f" ± {by.error:.4f}" if by.error is not None else ""
        told = by.error is not None and abs(change) <= 2 * by.error
        lines.append(
            f"{metric} on {by.judged_on}, doubtful ones among them: {by.with_all:.4f} of heads trained on "
            f"all rows, {by.without:.4f} without doubtful rows; {change:+.4f}{error}"
            f"{', a difference within the error' if told else ''}"
        )
    if found.not_judged:
        lines.append(
            f"{count_text(found.not_judged, 'training row')} not judged: no row of another fold has the label"
        )
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
