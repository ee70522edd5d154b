"""model2vec: a vector for each token, looked up and averaged. No network is run, so it is fast, and knows no
context; what that costs is told by a head on its features beside one on enc's.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..store import Source, SourceError
from ..store.duck import workspace
from ..store.stage import stage_source

STATIC = "model2vec, static embeddings: no network"
HEAD = "accuracy of a logistic regression"
_FOLDS = 5
_L2 = 0.01  # per row, as `enc train-head --l2` counts it


def static_encoder(folder: str) -> Callable[[list[str]], np.ndarray]:
    """The embeddings of a folder of model2vec, float32 [texts, width]. Raises ImportError without it."""
    from model2vec import StaticModel  # type: ignore[import-not-found]

    if not Path(folder).is_dir():
        raise SourceError(f"'{folder}' is no folder; pass one that model2vec's save_pretrained wrote")
    return StaticModel.from_pretrained(folder).encode


def labels_of(source: Source, label_column: str, texts: Sequence[str]) -> list[str | None]:
    """The label of each text, of a text with several the least; None where it has none."""
    with workspace() as con:
        stage = stage_source(con, source, label_column=label_column)
        rows = con.sql(
            f"SELECT text, min(label) FROM {stage.name} WHERE key IS NOT NULL GROUP BY 1"
        ).fetchall()
    known = dict(rows)
    return [known.get(text) for text in texts]


def head_accuracy(features: np.ndarray, labels: Sequence[str | None]) -> float:
    """Accuracy of a logistic regression on standardized features, over five folds.

    Raises SourceError where a label has fewer than five texts.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.array([number for number, label in enumerate(labels) if label is not None], np.int64)
    targets = np.array([labels[number] for number in rows.tolist()])
    names, counts = np.unique(targets, return_counts=True)
    if len(names) < 2 or counts.min() < _FOLDS:
        raise SourceError(f"{_FOLDS} folds need two labels or more, with {_FOLDS} texts each; raise --texts")
    strength = 1 / (_L2 * len(rows))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    return float(cross_val_score(model, features[rows].astype(np.float32), targets, cv=folds).mean())
