"""What computes: encoders, building features, training heads, scoring."""

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
