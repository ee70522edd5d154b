"""What computes: encoders, building features, training heads, scoring.

Importing this module imports nothing else: each name below loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audit.to_label import next_to_label
    from .auto.config import AutoConfig
    from .auto.run import auto_head
    from .backends.load import load_encoder, load_encoder_of
    from .classifier import load_classifier
    from .encode.build import BuildSummary, build_features
    from .encode.encoder import Encoder, encode_texts
    from .export import export_onnx
    from .features_out.run import FeaturesSummary, write_features
    from .finetune.run import fine_tune
    from .heads.head import Head
    from .heads.labels import Labels
    from .push import push_head
    from .scoring.evaluation import EvaluationSummary, evaluate_head
    from .scoring.predict import Prediction, predict_texts
    from .scoring.run import ScoreSummary, score_parquet
    from .standalone import export_folder
    from .sweep.search import search
    from .sweep.search_path import search_path
    from .train.config import TrainConfig
    from .train.examples import load_examples
    from .train.fit import train_head
    from .train.solve import solve
    from .train.solve_config import SolveConfig
    from .train.torch_dataset import FeatureDataset, to_device
    from .train.validation import Folds, Fraction

__all__ = [
    "AutoConfig",
    "BuildSummary",
    "Encoder",
    "EvaluationSummary",
    "FeatureDataset",
    "FeaturesSummary",
    "Folds",
    "Fraction",
    "Head",
    "Labels",
    "Prediction",
    "ScoreSummary",
    "SolveConfig",
    "TrainConfig",
    "auto_head",
    "build_features",
    "encode_texts",
    "evaluate_head",
    "export_folder",
    "export_onnx",
    "fine_tune",
    "load_classifier",
    "load_encoder",
    "load_encoder_of",
    "load_examples",
    "next_to_label",
    "predict_texts",
    "push_head",
    "score_parquet",
    "search",
    "search_path",
    "solve",
    "to_device",
    "train_head",
    "write_features",
]

# Where each name is, as module:name. A name stands here, in __all__, and in the imports for type checkers.
_HOMES = {
    "AutoConfig": "auto.config:AutoConfig",
    "BuildSummary": "encode.build:BuildSummary",
    "Encoder": "encode.encoder:Encoder",
    "EvaluationSummary": "scoring.evaluation:EvaluationSummary",
    "FeatureDataset": "train.torch_dataset:FeatureDataset",
    "FeaturesSummary": "features_out.run:FeaturesSummary",
    "Folds": "train.validation:Folds",
    "Fraction": "train.validation:Fraction",
    "Head": "heads.head:Head",
    "Labels": "heads.labels:Labels",
    "Prediction": "scoring.predict:Prediction",
    "ScoreSummary": "scoring.run:ScoreSummary",
    "SolveConfig": "train.solve_config:SolveConfig",
    "TrainConfig": "train.config:TrainConfig",
    "auto_head": "auto.run:auto_head",
    "build_features": "encode.build:build_features",
    "encode_texts": "encode.encoder:encode_texts",
    "evaluate_head": "scoring.evaluation:evaluate_head",
    "export_folder": "standalone:export_folder",
    "export_onnx": "export:export_onnx",
    "fine_tune": "finetune.run:fine_tune",
    "load_classifier": "classifier:load_classifier",
    "load_encoder": "backends.load:load_encoder",
    "load_encoder_of": "backends.load:load_encoder_of",
    "load_examples": "train.examples:load_examples",
    "next_to_label": "audit.to_label:next_to_label",
    "predict_texts": "scoring.predict:predict_texts",
    "push_head": "push:push_head",
    "score_parquet": "scoring.run:score_parquet",
    "search": "sweep.search:search",
    "search_path": "sweep.search_path:search_path",
    "solve": "train.solve:solve",
    "to_device": "train.torch_dataset:to_device",
    "train_head": "train.fit:train_head",
    "write_features": "features_out.run:write_features",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value  # the next time, Python finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
