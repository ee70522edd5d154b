"""What computes: encoders, building features, training heads, scoring.

A name is imported when it is asked for, so that a command loads only what it uses.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends.load import load_encoder, load_encoder_of
    from .encode.build import BuildSummary, build_features
    from .encode.encoder import Encoder, encode_texts
    from .heads.head import Head
    from .heads.labels import Labels
    from .score import Prediction, ScoreSummary, predict_texts, score_parquet
    from .train.config import TrainConfig
    from .train.fit import train_head
    from .train.torch_dataset import FeatureDataset, to_device

__all__ = [
    "BuildSummary",
    "Encoder",
    "FeatureDataset",
    "Head",
    "Labels",
    "Prediction",
    "ScoreSummary",
    "TrainConfig",
    "build_features",
    "encode_texts",
    "load_encoder",
    "load_encoder_of",
    "predict_texts",
    "score_parquet",
    "to_device",
    "train_head",
]
_MODULES = {
    "backends.load": ("load_encoder", "load_encoder_of"),
    "encode.build": ("BuildSummary", "build_features"),
    "encode.encoder": ("Encoder", "encode_texts"),
    "heads.head": ("Head",),
    "heads.labels": ("Labels",),
    "score": ("Prediction", "ScoreSummary", "predict_texts", "score_parquet"),
    "train.config": ("TrainConfig",),
    "train.fit": ("train_head",),
    "train.torch_dataset": ("FeatureDataset", "to_device"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
