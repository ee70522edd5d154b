"""enc: turn text into BERT features once, fast, and train on them ever after.

Importing this module imports nothing else: each name below loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.audit.run import audit
    from .engine.audit.to_label import next_to_label
    from .engine.auto.config import AutoConfig
    from .engine.auto.run import auto_head
    from .engine.backends.load import load_encoder
    from .engine.classifier import load_classifier
    from .engine.encode.build import build_features
    from .engine.encode.encoder import encode_texts
    from .engine.estimators.head_estimators import HeadClassifier, HeadRegressor
    from .engine.estimators.saving import save_head
    from .engine.estimators.text_features import TextFeatures
    from .engine.export import export_onnx
    from .engine.features_in.run import import_features
    from .engine.features_out.run import write_features
    from .engine.finetune.options import parse_options as fine_tune_options
    from .engine.finetune.run import fine_tune
    from .engine.heads.head import Head
    from .engine.push import push_head
    from .engine.runners.job import BuildJob
    from .engine.runners.processes import build_in_processes
    from .engine.runners.ray_tasks import build_with_ray
    from .engine.runners.team import Workers
    from .engine.scoring.evaluation import evaluate_head
    from .engine.scoring.predict import predict_texts as predict
    from .engine.scoring.run import score_parquet as score
    from .engine.standalone import export_folder
    from .engine.sweep.search import search as sweep
    from .engine.sweep.search_path import search_path
    from .engine.train.config import TrainConfig
    from .engine.train.examples import load_examples
    from .engine.train.fit import train_head
    from .engine.train.solve import solve
    from .engine.train.solve_config import SolveConfig
    from .engine.train.torch_dataset import FeatureDataset, to_device
    from .engine.train.validation import Folds, Fraction
    from .store.catalog import Store
    from .store.errors import EncError
    from .store.share import Share
    from .store.source import Source
    from .store.table import FeatureTable

__version__ = "0.1.0"

__all__ = [
    "AutoConfig",
    "BuildJob",
    "EncError",
    "FeatureDataset",
    "FeatureTable",
    "Folds",
    "Fraction",
    "Head",
    "HeadClassifier",
    "HeadRegressor",
    "Share",
    "SolveConfig",
    "Source",
    "Store",
    "TextFeatures",
    "TrainConfig",
    "Workers",
    "audit",
    "auto_head",
    "build_features",
    "build_in_processes",
    "build_with_ray",
    "encode_texts",
    "evaluate_head",
    "export_folder",
    "export_onnx",
    "fine_tune",
    "fine_tune_options",
    "import_features",
    "load_classifier",
    "load_encoder",
    "load_examples",
    "next_to_label",
    "predict",
    "push_head",
    "save_head",
    "score",
    "search_path",
    "solve",
    "sweep",
    "to_device",
    "train_head",
    "write_features",
]

# Where each name is, as module:name. A name stands here, in __all__, and in the imports for type checkers.
_HOMES = {
    # Texts and features.
    "Source": "store.source:Source",
    "Store": "store.catalog:Store",
    "FeatureTable": "store.table:FeatureTable",
    "load_encoder": "engine.backends.load:load_encoder",
    "build_features": "engine.encode.build:build_features",
    "encode_texts": "engine.encode.encoder:encode_texts",
    # The same by several processes.
    "Share": "store.share:Share",
    "BuildJob": "engine.runners.job:BuildJob",
    "build_in_processes": "engine.runners.processes:build_in_processes",
    "build_with_ray": "engine.runners.ray_tasks:build_with_ray",
    "Workers": "engine.runners.team:Workers",
    # Heads on features.
    "Head": "engine.heads.head:Head",
    "TrainConfig": "engine.train.config:TrainConfig",
    "SolveConfig": "engine.train.solve_config:SolveConfig",
    "Fraction": "engine.train.validation:Fraction",
    "Folds": "engine.train.validation:Folds",
    "load_examples": "engine.train.examples:load_examples",
    "train_head": "engine.train.fit:train_head",
    "solve": "engine.train.solve:solve",
    "search_path": "engine.sweep.search_path:search_path",
    "sweep": "engine.sweep.search:search",
    "AutoConfig": "engine.auto.config:AutoConfig",
    "auto_head": "engine.auto.run:auto_head",
    # Training loops of your own.
    "FeatureDataset": "engine.train.torch_dataset:FeatureDataset",
    "to_device": "engine.train.torch_dataset:to_device",
    # As scikit-learn's estimators.
    "TextFeatures": "engine.estimators.text_features:TextFeatures",
    "HeadClassifier": "engine.estimators.head_estimators:HeadClassifier",
    "HeadRegressor": "engine.estimators.head_estimators:HeadRegressor",
    "save_head": "engine.estimators.saving:save_head",
    # Whole models.
    "fine_tune": "engine.finetune.run:fine_tune",
    "fine_tune_options": "engine.finetune.options:parse_options",
    # Using what was trained.
    "load_classifier": "engine.classifier:load_classifier",
    "predict": "engine.scoring.predict:predict_texts",
    "score": "engine.scoring.run:score_parquet",
    "audit": "engine.audit.run:audit",
    "next_to_label": "engine.audit.to_label:next_to_label",
    "evaluate_head": "engine.scoring.evaluation:evaluate_head",
    "import_features": "engine.features_in.run:import_features",
    "write_features": "engine.features_out.run:write_features",
    "export_onnx": "engine.export:export_onnx",
    "export_folder": "engine.standalone:export_folder",
    "push_head": "engine.push:push_head",
    "EncError": "store.errors:EncError",
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
