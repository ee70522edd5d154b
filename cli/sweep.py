"""Sweeps of `enc train-head`: many heads, compared in a table."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..engine.sweep.comparison import Compared, Found
    from ..store import FeatureTable, Source

_SHOWN = 20


def is_sweep(values: dict[str, Any]) -> bool:
    """Whether the options ask for more than one head."""
    return bool(values["sweep"] or values["seeds"] > 1 or values["folds"] or values["ensemble"])


def search_for(
    train: "Source",
    table: "FeatureTable",
    values: dict[str, Any],
    data: dict[str, Any],
    say: Callable[[str], None],
) -> "Found":
    """Train them all, and print the table."""
    from ..engine.sweep.grid import parse_sweep
    from ..engine.sweep.search import search
    from ..engine.sweep.search_path import search_path
    from ..store import SourceError

    if values["solver"] == "lbfgs":
        if values["sweep"] or values["seeds"] > 1 or values["ensemble"]:
            raise SourceError(
                "--sweep, --seeds and --ensemble are for gradient descent; --solver lbfgs has a path of its own, "
                "--l2 1,0.1,0.01, which --folds 5 cross-validates"
            )
        found = search_path(train, table, folds=values["folds"], l2=path_of_l2(values), say=say, **data)
    else:
        if values["l2"]:
            raise SourceError(
                "--l2 is for --solver lbfgs; with gradient descent there is --sweep weight_decay=0.1,0.01"
            )
        grid = parse_sweep(values["sweep"])
        options = {name: values[name] for name in ("seeds", "folds", "ensemble")}
        found = search(train, table, grid=grid, say=say, **options, **data)
    say(sweep_text(found))
    return found


def path_of_l2(values: dict[str, Any]) -> Sequence[float]:
    """The strengths of regularisation that ``--l2`` names, or the usual ones."""
    from ..engine.train.solve import L2_PATH

    try:
        return [float(part) for part in values["l2"].split(",")] if values["l2"] else L2_PATH
    except ValueError as error:
        raise click.BadParameter(
            f"cannot read '{values['l2']}'; write numbers, such as 1,0.1,0.01", param_hint="--l2"
        ) from error


def sweep_text(found: "Found") -> str:
    """Settings, the best first, with the mean and standard deviation of the metric over seeds and folds."""
    names = list(found.compared[0].setting)
    header = [*names, found.metric, "runs"]
    rows = [header]
    for compared in found.compared[:_SHOWN]:
        mean = "undefined" if compared.mean is None else f"{compared.mean:.4f} ± {compared.deviation:.4f}"
        rows.append([*(_shown(compared.setting[name]) for name in names), mean, _runs_text(compared)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    if len(found.compared) > _SHOWN:
        lines.append(f"… {len(found.compared) - _SHOWN} more in sweep.parquet")
    return "\n".join(lines)


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
