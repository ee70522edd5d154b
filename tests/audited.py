"""Rows whose texts have features that a test chooses, and labels that these features tell."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from enc.store import FeatureTable
from fakes import fake_spec

WIDTH = 8


def stored(folder: Path, texts: list[str], features: np.ndarray) -> FeatureTable:
    """A feature set in which each text has its row of ``features`` [texts, width]."""
    table = FeatureTable.create(folder, fake_spec(hidden_size=features.shape[1]))
    distinct = dict(zip(texts, features, strict=True))
    with table.writer() as writer:
        writer.write(
            pa.array([hashlib.sha256(b"t" + text.encode()).digest() for text in distinct], pa.binary()),
            np.ones(len(distinct), np.int32),
            np.zeros(len(distinct), bool),
            np.stack(list(distinct.values())).astype(np.float32),
        )
    return table


def two_classes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels bool [rows], and features [rows, WIDTH] that tell them."""
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=rows).astype(bool)
    features = random.standard_normal((rows, WIDTH))
    features[:, 0] += np.where(labels, 3, -3)
    return labels, features.astype(np.float32)


def written(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path
