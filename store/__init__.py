"""What remembers: keys, shards, feature tables and query plans. Imports neither torch nor transformers.

A name is imported when it is first used: listing a store needs no DuckDB, for example.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import Store
    from .errors import (
        DivergedError,
        EncError,
        HeadError,
        HubError,
        LabelError,
        MissingFeatures,
        ModelError,
        ReportError,
        SourceError,
        SpecError,
        StoreError,
        WorkerError,
        WorkspaceError,
    )
    from .naming import default_name
    from .setting import RECIPES, Setting
    from .share import Share
    from .source import Source
    from .spec import FeatureSpec
    from .table import FeatureTable

__all__ = [
    "RECIPES",
    "DivergedError",
    "EncError",
    "FeatureSpec",
    "FeatureTable",
    "HeadError",
    "HubError",
    "LabelError",
    "MissingFeatures",
    "ModelError",
    "ReportError",
    "Setting",
    "Share",
    "Source",
    "SourceError",
    "SpecError",
    "Store",
    "StoreError",
    "WorkerError",
    "WorkspaceError",
    "default_name",
]

_MODULES = {
    "FeatureSpec": "spec",
    "FeatureTable": "table",
    "RECIPES": "setting",
    "Setting": "setting",
    "Share": "share",
    "Source": "source",
    "Store": "catalog",
    "default_name": "naming",
}
"""The module of each name that is not an error."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
