"""What remembers: keys, shards, feature tables and query plans. Imports neither torch nor transformers."""

from .catalog import create_feature_set, default_name, feature_set_names, open_feature_set
from .errors import (
    DivergedError,
    EncError,
    HeadError,
    LabelError,
    MissingFeatures,
    ModelError,
    SourceError,
    SpecError,
    StoreError,
)
from .source import Source
from .spec import RECIPES, FeatureSpec, Setting
from .table import FeatureTable

__all__ = [
    "RECIPES",
    "DivergedError",
    "EncError",
    "FeatureSpec",
    "FeatureTable",
    "HeadError",
    "LabelError",
    "MissingFeatures",
    "ModelError",
    "Setting",
    "Source",
    "SourceError",
    "SpecError",
    "StoreError",
    "create_feature_set",
    "default_name",
    "feature_set_names",
    "open_feature_set",
]
