"""Words alone, and beside the best candidate, on the folds of a search."""

import time
from dataclasses import dataclass

import numpy as np

from ..heads.head import Head
from ..heads.metrics import compute, metric_names
from ..sweep.baseline import SECONDS_A_BYTE
from ..sweep.folds import mean_or_none
from ..sweep.words_on_rows import goal_of, predicted_of
from ..train.judging import Loss
from ..train.threads import one_thread
from ..words.joining import Joining, fit_joining
from ..words.model import FittedWords, fit_words
from ..words.part import WordPart
from ..words.settings import WordSettings
from .judged import Judged
from .rows import Rows

_PARTS = 20  # of the rows, in a jackknife, and where one fold alone tells how a head is joined


@dataclass(frozen=True)
class RowJudge:
    """What judges logits of all rows, fold by fold."""

    rows: Rows
    fold_of: np.ndarray
    watched: str
    loss: Loss

    def judged(
        self, name: str, logits: np.ndarray, started: float, base: Judged | None = None, *, has_words: bool
    ) -> Judged | None:
        """Logits float32 [rows, outputs] as a judged candidate; None where the metric is undefined.

        It is judged on the folds on which what words were joined with, its ``base``, was judged.
        """
        task = self.rows.task
        names = metric_names(task, self.rows.outputs)
        figures = []
        for fold in np.unique(self.fold_of)[: _folds(base) if base else None]:
            part = np.flatnonzero(self.fold_of == fold)
            predicted = predicted_of(task, self.loss, self.rows.targets[part], logits[part])
            figures.append(compute(names, predicted))
        values = [one[self.watched] for one in figures]
        if any(value is None for value in values):
            return None
        means = {one: mean_or_none([each[one] for each in figures]) for one in names}
        seconds = time.perf_counter() - started
        known = np.array(values, np.float64)
        return Judged(name, known, means, task.activation(logits), seconds, base=base, has_words=has_words)

    def row_error(self, one: Judged, other: Judged | None = None) -> float:
        """Standard error of a candidate's metric, or of its lead over another, on the folds that judged both.

        It is that of a jackknife over parts of the rows, each of which is left out in turn; infinite where
        the metric is undefined without one.
        """
        both = [one] if other is None else [one, other]
        rows = self._rows_of(min(map(_folds, both)))
        parts = _parts_of(rows)
        found = [[self._value(each, rows[parts != part]) for each in both] for part in range(_PARTS)]
        if any(value is None for values in found for value in values):
            return float("inf")
        leads = np.array(found, np.float64) @ ([1.0] if other is None else [1.0, -1.0])
        return float(np.sqrt((_PARTS - 1) * np.var(leads)))

    def _value(self, judged: Judged, rows: np.ndarray) -> float | None:
        """The metric of some rows."""
        task, logits = self.rows.task, self.rows.task.logits(judged.outputs[rows])
        predicted = predicted_of(task, self.loss, self.rows.targets[rows], logits)
        return compute([self.watched], predicted)[self.watched]

    def constant(self) -> Judged | None:
        """What one answer for all rows reaches: the most frequent class, or the mean."""
        started, task, targets = time.perf_counter(), self.rows.task, self.rows.targets
        logits = np.empty((len(targets), self.rows.outputs), np.float32)
        for fold in np.unique(self.fold_of):
            seen = targets[self.fold_of != fold]
            if not task.has_classes:
                answer = np.array([seen.mean(dtype=np.float64)])
            elif seen.ndim == 1:
                answer = np.bincount(seen, minlength=self.rows.outputs) / len(seen)
            else:
                answer = seen.mean(0, dtype=np.float64)
            logits[self.fold_of == fold] = task.logits(answer.astype(np.float32))
        name = "the most frequent answer" if task.has_classes else "the mean"
        return self.judged(name, logits, started, has_words=False)

    def words_seconds(self) -> float:
        """How long a model of the words, and its folds, take at the most."""
        return self.rows.texts.bytes * SECONDS_A_BYTE

    def words(self) -> tuple[FittedWords, Judged | None]:
        """A linear model on the words, and what it reaches by itself."""
        started = time.perf_counter()
        rows = self.rows
        goal = goal_of(rows.task, rows.outputs, rows.targets, self.loss)
        with one_thread():
            fitted = fit_words(rows.texts, goal, WordSettings(), self.fold_of)
        return fitted, self.judged("words alone", fitted.out_of_fold, started, has_words=True)

    def with_words(self, best: Judged, fitted: FittedWords) -> Judged | None:
        """A candidate joined with words, judged on the candidate's folds.

        How they are joined is learned from the other ones of these folds; of one fold, from its other rows.
        """
        started = time.perf_counter()
        of_head = self.rows.task.logits(best.outputs)
        logits = np.full_like(of_head, np.nan)
        rows = self._rows_of(_folds(best))
        parts = self.fold_of[rows] if _folds(best) > 1 else _parts_of(rows)
        for part in np.unique(parts):
            held_out = rows[parts == part]
            joining = self._joining(of_head, fitted, rows[parts != part])
            logits[held_out] = joining.joined(of_head[held_out], fitted.out_of_fold[held_out])
        return self.judged(f"{best.name}, and words", logits, started, best, has_words=True)

    def joined_head(self, head: Head, best: Judged, fitted: FittedWords) -> Head:
        """A head that was trained on all rows, joined with words."""
        of_head = self.rows.task.logits(best.outputs)
        joining = self._joining(of_head, fitted, self._rows_of(_folds(best)))
        return head.replace(words=WordPart(fitted.model, joining))

    def _rows_of(self, folds: int) -> np.ndarray:
        """The rows of the first so many folds."""
        return np.flatnonzero(np.isin(self.fold_of, np.unique(self.fold_of)[:folds]))

    def _joining(self, of_head: np.ndarray, fitted: FittedWords, chosen: np.ndarray) -> Joining:
        rows = self.rows
        goal = goal_of(rows.task, rows.outputs, rows.targets, self.loss)
        with one_thread():
            return fit_joining(of_head[chosen], fitted.out_of_fold[chosen], rows.targets[chosen], goal.loss)


def _folds(judged: Judged) -> int:
    return len(judged.values)


def _parts_of(rows: np.ndarray) -> np.ndarray:
    """The part of each of these rows, at random."""
    return np.random.default_rng(0).permutation(len(rows)) % _PARTS
