"""Sweeps of `enc train-head`: many heads, compared in a table."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .text import table_text
from .voice import is_quiet, say_nothing

if TYPE_CHECKING:
    from ..engine.sweep.comparison import Compared, Found
    from ..store import FeatureTable, Source

_SHOWN = 10
_SOME_MORE = 2  # which are not worth a line that says that they are elsewhere


def is_sweep(values: dict[str, Any]) -> bool:
    """Whether the options ask for more than one head."""
    return bool(values["sweep"] or values["seeds"] > 1 or values["folds"] or values["ensemble"])


def search_for(
    train: "Source",
    table: "FeatureTable",
    grid: dict[str, list[Any]],
    values: dict[str, Any],
    options: dict[str, Any],
    say: Callable[[str], None],
) -> "Found":
    """Train all heads, and print the table; what goes on is told unless the command is quiet."""
    tell = say_nothing if is_quiet() else say
    if values["solver"] == "lbfgs":
        from ..engine import search_path

        found = search_path(train, table, grid=grid, say=tell, **options)
    else:
        from ..engine import search

        many = {name: values[name] for name in ("seeds", "ensemble")}
        found = search(train, table, grid=grid, say=tell, **many, **options)
    say(sweep_text(found, values["output"]))
    return found


def sweep_text(found: "Found", output: str) -> str:
    """Settings, the best first, with the mean and standard deviation of the metric over seeds and folds.

    Of many settings the best ten are shown, and the file in the folder ``output`` that has them all is named.
    """
    names = list(found.compared[0].setting)
    rows = []
    more = len(found.compared) - _SHOWN
    shown = found.compared[: _SHOWN if more > _SOME_MORE else None]
    for compared in shown:
        shown_values = (_shown(compared.setting[name]) for name in names)
        rows.append([*shown_values, _mean_text(compared), _runs_text(compared)])
    table = table_text([*names, found.metric, "runs"], rows)
    if more > _SOME_MORE:
        file = f"{output.rstrip('/')}/sweep.parquet"
        table += f"\n… and {more:,} more settings; '{file}' has the figures of all runs"
    return table


def _mean_text(compared: "Compared") -> str:
    if compared.mean is None:
        return "undefined"
    deviation = f" ± {compared.deviation:.4f}" if len(compared.results) > 1 else ""
    return f"{compared.mean:.4f}{deviation}"


def _runs_text(compared: "Compared") -> str:
    runs, diverged = len(compared.results), sum(result.diverged for result in compared.results)
    return f"{runs}, {diverged} diverged" if diverged else str(runs)


def sweep_json(found: "Found") -> dict[str, Any]:
    """The table as values."""
    settings = [
        {
            **compared.setting,
            "mean": compared.mean,
            "deviation": compared.deviation,
            "runs": len(compared.results),
            "diverged": sum(result.diverged for result in compared.results),
        }
        for compared in found.compared
    ]
    return {"watched": found.metric, "sweep": settings}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
