"""GLUE's metrics, by the names of today's ``run_glue.py`` and of its older releases."""

import numpy as np

from ..heads.metrics import Predicted, compute

METRICS = {
    "accuracy": "accuracy",
    "f1": "f1_binary",
    "matthews_correlation": "mcc",
    "pearson": "pearson",
    "spearmanr": "spearman",
    "mse": "mse",
}
"""Name in :data:`engine.heads.metrics.METRICS` of each of GLUE's metrics."""
LEGACY = {"accuracy": "acc", "matthews_correlation": "mcc"}
"""Name in ``eval_results.txt``, as older releases wrote that file."""


def glue_metrics(names: tuple[str, ...], predicted: Predicted) -> dict[str, float]:
    """Metrics by GLUE's names; of two, also their mean, ``combined_score``. An undefined one is NaN."""
    found = compute([METRICS[name] for name in names], predicted)
    values = {}
    for name in names:
        value = found[METRICS[name]]
        values[name] = float("nan") if value is None else float(value)
    if len(values) > 1:
        values["combined_score"] = float(np.mean(list(values.values())))
    return values


def legacy_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics by the names of older releases: acc, f1 and acc_and_f1; mcc; pearson, spearmanr and corr."""
    values = {LEGACY.get(name, name): value for name, value in metrics.items() if name != "combined_score"}
    if "combined_score" in metrics:
        values["acc_and_f1" if "f1" in metrics else "corr"] = metrics["combined_score"]
    return values
