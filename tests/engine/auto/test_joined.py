"""Heads that were judged on some folds, joined with words."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from enc.engine.auto.budget import Budget
from enc.engine.auto.judged import Judged, Stopped
from enc.engine.auto.run import _join_words
from enc.engine.auto.search import Search
from enc.engine.auto.words import RowJudge
from enc.engine.heads.tasks import SINGLE_LABEL
from enc.engine.train.config import TrainConfig
from enc.engine.words.joining import Joining
from enc.engine.words.model import FittedWords

ROWS, FOLDS = 3000, 3


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def judge(random):
    rows = SimpleNamespace(task=SINGLE_LABEL, targets=random.integers(0, 2, ROWS), outputs=2)
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    return RowJudge(rows, np.arange(ROWS) % FOLDS, "accuracy", loss)


@pytest.fixture
def fitted(judge, random):
    return FittedWords(SimpleNamespace(), noisy(judge, random), 1.0)


def noisy(judge, random):
    """Logits that are right as often as the noise lets them be."""
    logits = np.eye(2)[judge.rows.targets] * 2 + random.standard_normal((ROWS, 2)) * 2
    return logits.astype(np.float32)


def candidate(judge, random, folds, name="tuned", kind="encoder"):
    outputs = SINGLE_LABEL.activation(noisy(judge, random))
    outputs[judge.fold_of >= folds] = np.nan
    right = outputs.argmax(1) == judge.rows.targets
    values = np.array([right[judge.fold_of == fold].mean() for fold in range(folds)])
    what = SimpleNamespace(config=TrainConfig(head=kind))
    return Judged(name, values, {}, outputs, 1.0, candidate=what, data=SimpleNamespace())


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_they_are_judged_on_the_folds_of_the_head(judge, fitted, random, folds):
    base = candidate(judge, random, folds)
    found = judge.with_words(base, fitted)
    assert len(found.values) == folds
    assert (np.isnan(found.outputs).any(1) == (judge.fold_of >= folds)).all()
    right = found.outputs.argmax(1) == judge.rows.targets
    np.testing.assert_allclose(found.values, [right[judge.fold_of == fold].mean() for fold in range(folds)])
    assert found.mean > max(base.mean, 0.75) + 0.03  # two noisy judges know more than one
    assert np.isfinite(judge.row_error(found, base))


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_a_row_has_no_part_in_how_it_is_joined(judge, fitted, random, folds, monkeypatch):
    learned_from = []

    def joining(self, of_head, fitted, chosen):
        """Shows in a row's logits which of the joinings it was given."""
        learned_from.append(chosen)
        return Joining(0.0, 0.0, np.array([0.0, len(learned_from)], np.float32))

    monkeypatch.setattr(RowJudge, "_joining", joining)
    found = judge.with_words(candidate(judge, random, folds), fitted)
    logits = SINGLE_LABEL.logits(found.outputs)
    number = np.rint(logits[:, 1] - logits[:, 0])
    judged = np.flatnonzero(judge.fold_of < folds)
    for row in judged:
        assert row not in set(learned_from[int(number[row]) - 1])
    for chosen in learned_from:
        assert set(chosen) < set(judged)
        assert len(chosen) >= len(judged) / 2


def test_how_they_are_joined_is_learned_from_rows_that_the_head_did_not_see(judge, fitted, random):
    base, told = candidate(judge, random, 1), {}
    head = SimpleNamespace(replace=lambda **changes: told.update(changes))
    judge.joined_head(head, base, fitted)
    joining = told["words"].joining
    assert 0.3 < joining.head_weight < 3
    assert 0.3 < joining.words_weight < 3
    assert np.isfinite(joining.bias).all()


@pytest.mark.parametrize("stopped", [None, Stopped("tuned", "its training diverged")])
def test_what_is_out_of_date_is_left_out_and_joined_again(judge, fitted, random, stopped, monkeypatch):
    search = Search(judge, Budget(1), lambda _: None)
    frozen, tuned = candidate(judge, random, 3, "frozen", "linear"), candidate(judge, random, 1)
    search.judged = [frozen, tuned]
    _join_words(judge, search, fitted)
    assert [one.name for one in search.judged] == ["frozen", "tuned", "frozen, and words", "tuned, and words"]
    _join_words(judge, search, fitted)
    assert len(search.judged) == 4
    more = candidate(judge, random, 2)
    more = Judged("tuned", more.values[1:], {}, more.outputs, 1.0, candidate=tuned.candidate, data=tuned.data)
    monkeypatch.setattr("enc.engine.auto.search.judge", lambda *_: stopped or more)
    assert search.try_next(tuned)
    left = ["frozen", "tuned", "frozen, and words"]
    assert [one.name for one in search.judged] == [one for one in left if not stopped or one != "tuned"]
    _join_words(judge, search, fitted)
    if not stopped:
        assert search.judged[-1].name == "tuned, and words"
        assert len(search.judged[-1].values) == 2
