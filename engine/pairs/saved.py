"""A combination as it is kept with a head: names and arguments in its JSON, tables beside its weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...store import FeatureSpec, SourceError
from .combination import Combination

_PREFIX = "combination."


def tables_of(combination: Combination | None) -> dict[str, np.ndarray]:
    """The tables by the names under which they are saved."""
    tables = {} if combination is None else combination.tables
    return {f"{_PREFIX}{name}": table for name, table in tables.items()}


def split_tables(
    arrays: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The weights of a head, and the tables of its combination, among all arrays that were saved."""
    weights = {name: one for name, one in arrays.items() if not name.startswith(_PREFIX)}
    return weights, {name.removeprefix(_PREFIX): arrays[name] for name in arrays.keys() - weights.keys()}


def combination_from(
    saved: Mapping[str, Any] | None, tables: Mapping[str, np.ndarray], spec: FeatureSpec
) -> Combination | None:
    """The combination of a head, None where the head has none.

    Raises ValueError where its names, arguments and tables do not fit each other and the features.
    """
    if saved is None:
        if tables:
            raise ValueError("it has tables of a combination that it does not name")
        return None
    try:
        combination = Combination(tuple(saved["names"]), dict(saved["arguments"]), tables)
        combination.require(spec)
    except SourceError as error:
        raise ValueError(f"its combination cannot be: {error}") from error
    wanted, found = combination.table_shapes(spec), {name: one.shape for name, one in tables.items()}
    if found != wanted:
        raise ValueError(f"its combination has tables {found}, not {wanted}")
    for name, table in tables.items():
        if table.dtype != np.float32 or not np.isfinite(table).all():
            raise ValueError(f"the table {name} of its combination is not finite float32")
    return combination
