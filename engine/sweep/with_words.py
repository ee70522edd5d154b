"""Words beside a head: a linear model on the words of the training rows, joined with the head's outputs."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
import pyarrow as pa

from ...store import FeatureTable, Source, SourceError
from ..heads.head import Head
from ..heads.metrics import compute, confusion_matrix, metric_names
from ..train.config import TrainConfig
from ..train.examples import RowOptions, TrainData
from ..train.fit import fit
from ..train.judging import evaluate, make_loss, tested
from ..train.solve import solve
from ..words.part import WordPart
from ..words.settings import WordSettings
from .folds import holding_out, out_of_fold_table
from .words_on_rows import WordsOnRows, config_of


@dataclass(frozen=True)
class WithWords:
    """A head with words."""

    head: Head
    out_of_fold: pa.Table | None
    """As :attr:`engine.sweep.comparison.Found.out_of_fold`, of the head with its words."""


def add_words(
    head: Head,
    train: Source,
    table: FeatureTable | str | Path,
    *,
    seed: int,
    settings: WordSettings | None = None,
    out_of_fold: pa.Table | None = None,
    **rows: Unpack[RowOptions],
) -> WithWords:
    """Join the words of the rows that a head was trained on with the head.

    ``head`` is what :func:`engine.train.fit.train_head`, ``search`` or ``search_path`` made of the same
    ``train``, ``table``, ``rows`` and seed; ``out_of_fold`` is what the last two found with Folds. A linear
    model is fitted to the words, and how its logits and the head's are joined is learned from rows that
    neither saw: heads like this one are trained on folds of the training rows. So a head with words takes
    about six times as long to train. With Folds as ``valid``, the figures of a fold are those of a joining
    that was learned on the other folds. Raises SourceError where the rows have changed since the head was
    trained.
    """
    on_rows = WordsOnRows.load(head, train, table, settings=settings or WordSettings(), seed=seed, **rows)
    data, task, fitted = on_rows.data, head.task, on_rows.fitted
    if out_of_fold is None:
        found = _outputs_out_of_fold(data, head, on_rows.fold_of, seed)
    else:
        found = _outputs_of(out_of_fold, data)
    of_head = task.logits(found)
    joining = on_rows.joining(of_head, slice(None))
    joined = head.replace(words=WordPart(fitted.model, joining))
    predicted = None
    if on_rows.is_of_folds:
        logits = np.empty_like(of_head)
        for fold in np.unique(on_rows.fold_of):
            others, held_out = on_rows.fold_of != fold, on_rows.fold_of == fold
            logits[held_out] = on_rows.joining(of_head, others).joined(
                of_head[held_out], fitted.out_of_fold[held_out]
            )
        metrics = on_rows.figures_of_folds(logits)
        predicted = out_of_fold_table(data, joined, on_rows.fold_of, task.activation(logits))
    else:
        outputs = evaluate(head.network, data.valid, task, on_rows.loss, outputs=True).outputs
        assert outputs is not None
        assert data.valid.texts is not None
        logits = joined.words.joined(task.logits(outputs), data.valid.texts)  # type: ignore[union-attr]
        judged = on_rows.predicted(data.valid, logits)
        metrics = compute(metric_names(task, data.outputs), judged)
        matrix = confusion_matrix(judged)
        metrics |= {"confusion_matrix": matrix} if matrix else {}
    record = {
        "settings": asdict(settings or WordSettings()),
        "features": fitted.model.features.title,
        "n_grams": fitted.model.features.width,
        "strength": fitted.strength,
        "head_weight": joining.head_weight,
        "words_weight": joining.words_weight,
        "alone": on_rows.alone(),
        "without": {name: head.metrics.get(name) for name in metric_names(task, data.outputs)},
    }
    joined = joined.replace(metrics={**head.metrics, **metrics}, record={**head.record, "words": record})
    return WithWords(tested(joined, data.test), predicted)


def _outputs_out_of_fold(data: TrainData, head: Head, fold_of: np.ndarray, order_seed: int) -> np.ndarray:
    """Outputs float32 [rows, outputs] of each training row, by heads like ``head`` that did not see it."""
    config, loss = config_of(head), make_loss(data, config_of(head))
    # The rows that are held out choose nothing: neither the strength, nor the epoch.
    if isinstance(config, TrainConfig):
        config = replace(config, metric=None, early_stopping=None, epochs=max(1, head.metrics["epoch"]))
    outputs = np.empty((len(fold_of), data.outputs), np.float32)
    for fold in np.unique(fold_of):
        part = holding_out(data, fold_of, int(fold))
        found = []
        for member in range(head.members):
            if isinstance(config, TrainConfig):
                like = fit(part, replace(config, seed=config.seed + member), order_seed=order_seed)
            else:
                like = solve(part, config)
            found.append(evaluate(like.network, part.valid, data.task, loss, outputs=True).outputs)
        outputs[fold_of == fold] = np.mean([one for one in found if one is not None], axis=0)
    return outputs


def _outputs_of(out_of_fold: pa.Table, data: TrainData) -> np.ndarray:
    """Outputs float32 [rows, outputs] in a table of :func:`engine.sweep.folds.out_of_fold_table`."""
    names = [f"proba_{label}" for label in data.labels.values] if data.task.has_classes else ["prediction"]
    if out_of_fold.num_rows != len(data.train.targets):
        raise SourceError(f"{data.record['train']} changed while the head was trained; run this again")
    return np.stack([out_of_fold.column(name).to_numpy() for name in names], 1).astype(np.float32)
