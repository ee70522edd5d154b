"""What computes: encoders, building features, training heads, scoring."""

from .build import BuildSummary, build_features
from .config import TrainConfig
from .dataset import FeatureDataset, to_device
from .encoder import Encoder, encode_texts
from .labels import Labels
from .load import load_encoder, load_encoder_of
from .model import Head
from .score import Prediction, ScoreSummary, predict_texts, score_parquet
from .train import train_head

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
