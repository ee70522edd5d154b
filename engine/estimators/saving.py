"""From a fitted pipeline to a saved head."""

from pathlib import Path
from typing import Any

from ...store import HeadError
from .head_estimators import HeadClassifier, HeadRegressor
from .text_features import TextFeatures


def save_head(pipeline: Any, folder: str | Path, *, text_column: str | None = None) -> None:
    """Save the head of a fitted Pipeline of a TextFeatures and a HeadClassifier or HeadRegressor.

    ``enc score --head`` and :meth:`enc.Head.load` take the folder. The columns of what is scored are those
    that the pipeline was fitted on, or ``text_column``; where texts had no name, it is sentence or text,
    whichever is there, and of pairs text and pair. An older head in the folder is replaced. Raises HeadError
    for any other pipeline: what a step between the two does to the features is not in the head.
    """
    steps = [step for _, step in getattr(pipeline, "steps", [])]
    is_savable = (
        len(steps) == 2
        and isinstance(steps[0], TextFeatures)
        and isinstance(steps[1], (HeadClassifier, HeadRegressor))
    )
    if not is_savable:
        found = ", ".join(type(step).__name__ for step in steps) or type(pipeline).__name__
        raise HeadError(
            f"a head is saved from a Pipeline of a TextFeatures and a HeadClassifier or HeadRegressor, "
            f"not of {found}"
        )
    features, estimator = steps
    if not hasattr(estimator, "head_") or not hasattr(features, "spec_"):
        raise HeadError("the pipeline is not fitted; call fit before the head is saved")
    is_pair = features.n_features_in_ == 2
    unnamed = ("text", "pair") if is_pair else ("",)
    names = [str(name) for name in getattr(features, "feature_names_in_", unnamed)]
    head = estimator.head_.replace(
        spec=features.spec_,
        feature_set=features.feature_set_,
        text_column=text_column or names[0],
        pair_column=names[1] if is_pair else None,
    )
    head.save(folder)
