"""Heads of upper layers as the last candidates of a search."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from enc.engine import Head, load_encoder, load_encoder_of, predict_texts
from enc.engine.auto import upper
from enc.engine.auto.budget import Budget
from enc.engine.auto.config import AutoConfig
from enc.engine.auto.judged import Judged, Stopped, _LeftError, _Trial
from enc.engine.auto.run import auto_head
from enc.engine.auto.search import Search
from enc.engine.auto.words import RowJudge
from enc.engine.heads.tasks import SINGLE_LABEL
from enc.engine.reports.held_out import held_out_rows
from enc.store import Source, Store
from enc.store.progress import heard_by
from fakes import fake_spec
from upper_layers import write_rows


@pytest.fixture
def bert(tiny_model):
    return tiny_model("bert", num_hidden_layers=3)


def search(source, store, model, minutes=10.0):
    said = []
    found = auto_head(
        source,
        store,
        config=AutoConfig(folds=2, minutes=minutes),
        load=lambda setting: load_encoder(model, backend="torch", precision="fp32", **setting),
        asked={"max_length": 24},
        say=said.append,
    )
    return found, said


def keep(name, monkeypatch):
    """Let a search keep the head of this name."""
    monkeypatch.setattr(Search, "kept", property(lambda self: named(self.judged, name)))
    monkeypatch.setattr("enc.engine.auto.judged.is_hopeless", lambda *_: False)


def named(judged, name):
    return next(one for one in judged if one.name == name)


def test_they_are_tried_and_what_is_kept_is_a_head(bert, tmp_path, monkeypatch):
    keep("the last layer, tuned", monkeypatch)
    found, said = search(write_rows(tmp_path / "rows.tsv"), tmp_path / "store", bert)
    assert found.head.kind == "encoder"
    assert found.head.spec.layers == (2,)
    assert named(found.tried, "the last layer, tuned").feature_bytes > 0
    assert "tokens of layers 1-2" in " ".join(said)  # one pass, for all of them
    assert "tokens of layer 0" in " ".join(said)
    assert named(found.tried, "all layers, tuned").can_be_kept
    assert not any("full fine-tune" in line for line in found.next_steps)
    found.head.save(tmp_path / "head", found.tables)
    loaded = Head.load(tmp_path / "head")
    encoder = load_encoder_of(loaded.spec, backend="torch", precision="fp32")
    assert predict_texts(loaded, ["a b good"], encoder)[0].value in ("yes", "no")


def test_pairs_are_joined_for_them(bert, tmp_path, monkeypatch):
    lines = [f"{'abcdefgh'[i % 8]} x\t{'good' if i % 2 else 'bad'} {i}\t{i % 2}" for i in range(40)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["first\tsecond\tlabel", *lines]) + "\n")
    source = Source(tmp_path / "pairs.tsv", text_column="first", pair_column="second", pairs="separate")
    keep("the last layer, tuned", monkeypatch)
    found, _ = search(source, tmp_path / "store", bert)
    assert found.head.combination is None
    assert found.head.pair_column == "second"
    assert found.out_of_fold.num_rows == 40
    encoder = load_encoder_of(found.head.spec, backend="torch", precision="fp32")
    assert len(predict_texts(found.head, ["a x"], encoder, ["good 1"])) == 1
    table = Store(tmp_path / "store").open(found.head.feature_set)
    assert held_out_rows(found.head, table, source, predicted=found.out_of_fold).of == 40


def test_without_time_or_layers_they_are_left(bert, tiny_model, tmp_path):
    source = write_rows(tmp_path / "rows.tsv")
    found, _ = search(source, tmp_path / "store", bert, minutes=1e-6)
    late = named(found.stopped, "heads of upper layers")
    assert (late.reason, late.is_late) == ("the time is over", True)
    assert any("full fine-tune" in line for line in found.next_steps)
    assert all("tokens" not in name for name in Store(tmp_path / "store").feature_sets())
    other = tiny_model("albert", embedding_size=8, num_hidden_layers=2)
    found, _ = search(source, tmp_path / "other", other)
    left = named(found.stopped, "heads of upper layers")
    assert "type 'albert' cannot be a head" in left.reason
    assert not left.is_late


def test_what_would_take_longer_than_there_is_is_left():
    trial = _Trial("accuracy", Budget(2, now=lambda: 0.0), None)
    trial.require_seconds(120)
    with pytest.raises(_LeftError, match=r"would take 3\.0 of the 2\.0 minutes left") as caught:
        trial.require_seconds(180)
    assert caught.value.is_late


def test_a_training_is_left_within_its_first_epoch_and_told_to_be_over(bert, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("enc.engine.auto.judged._STEPS", 2)
    monkeypatch.setattr(_Trial, "require_seconds", lambda *_: (_ for _ in ()).throw(_LeftError("slow")))
    source = write_rows(tmp_path / "rows.tsv", 96)
    with heard_by(lambda *told: said.append(told)):
        found, _ = search(source, tmp_path / "store", bert)
    assert named(found.stopped, "the last layer, tuned").reason == "slow"
    steps = [(done, total) for stage, done, total, *_ in said if stage == "training"]
    assert (2, 9) in steps
    assert steps[steps.index((2, 9)) + 1] == (9, 9)
    ends = [done == total for stage, done, total, *_ in said if stage == "solving"]
    assert ends[-1]


class Ladder:
    """A search whose heads of layers reach what they are told to, on the first of two folds."""

    watched = "accuracy"

    def __init__(self, reached, seconds=1.0):
        self.reached, self.seconds, self.asked, self.left = list(reached), seconds, [], []
        self.budget = Budget(1, now=lambda: 0.0)

    def try_first(self, candidate, _):
        self.asked.append(candidate.name)
        value = self.reached[len(self.asked) - 1]
        return None if value is None else Judged("", np.array([value]), {}, np.empty(0), self.seconds)

    def lead(self, one, other):
        return one.mean - other.mean, 0.02

    def leave(self, stopped):
        self.left.append(stopped)

    def run(self, layer_count=12, encode=None):
        def states(layers):
            return SimpleNamespace(spec=fake_spec(layers=layers, pooling=("tokens",)))

        return upper.try_tuned(self, layer_count, encode or states, lambda one: one, AutoConfig())


NAMES = [
    "the last layer, tuned",
    "the upper 2 layers, tuned",
    "the upper 4 layers, tuned",
    "all layers, tuned",
]


@pytest.mark.parametrize(
    ("reached", "tried"),
    [
        ([0.9, 0.92, 0.93, 0.94], 4),
        ([0.9, 0.89, 0.88, 0.94], 4),  # no surely worse than with fewer layers
        ([0.9, 0.87, 0.93, 0.94], 2),
        ([None, 0.92, 0.93, 0.94], 1),
    ],
)
def test_more_layers_are_tried_until_more_are_surely_worse(reached, tried):
    ladder = Ladder(reached)
    passes = ladder.run()
    assert ladder.asked == NAMES[:tried]
    assert [one.spec.layers for one in passes] == [(8, 10, 11), (0,)][: 1 + (tried == 4)]
    assert not ladder.left


def test_a_model_of_few_layers_has_fewer_candidates():
    ladder = Ladder([0.9] * 4)
    assert [one.spec.layers for one in ladder.run(2)] == [(1,), (0,)]
    assert ladder.asked == [NAMES[0], NAMES[3]]
    ladder = Ladder([0.9])
    assert [one.spec.layers for one in ladder.run(1)] == [(0,)]


def test_all_layers_are_not_encoded_where_their_training_would_not_end():
    ladder = Ladder([0.9, 0.91, 0.92], seconds=10.0)
    assert len(ladder.run()) == 1
    assert (ladder.left[0].name, ladder.left[0].is_late) == (NAMES[3], True)
    assert ladder.left[0].reason == "a fold, and all rows, would take 1.3 of the 1.0 minutes left"


def test_what_is_not_encoded_is_left_for_the_reason():
    ladder = Ladder([0.9, 0.91, 0.92])
    assert ladder.run(encode=lambda layers: "no room" if layers == (0,) else SimpleNamespace(
        spec=fake_spec(layers=layers, pooling=("tokens",))
    ))  # fmt: skip
    assert [(one.name, one.reason) for one in ladder.left] == [(NAMES[3], "no room")]


class Further:
    """A search in which a frozen head was judged on all of three folds, and two tuned ones on the first."""

    def __init__(self, times):
        self.judged = [self.of("frozen", 3), self.of("tuned", 1), self.of("tuned, too", 1)]
        self.asked, self.times = [], times

    kept = property(lambda self: self.judged[1])
    best = property(lambda self: self.judged[2])

    def of(self, name, folds):
        return Judged(name, np.full(folds, 0.9), {}, np.empty(0), 3.0 * folds)

    def is_whole(self, one):
        return len(one.values) == 3

    def try_next(self, one):
        self.asked.append(one.name)
        self.judged = [self.of(each.name, len(each.values) + (each is one)) for each in self.judged]
        return len(self.asked) < self.times


def test_the_best_of_them_are_judged_further_while_there_is_time():
    found = Further(times=9)
    assert upper.seconds_to_train(found) == pytest.approx(1.6 * 3.0)
    upper.judge_further(found, lambda: None)
    assert found.asked == ["tuned", "tuned", "tuned, too", "tuned, too"]
    assert upper.seconds_to_train(found) == 0
    found = Further(times=1)
    upper.judge_further(found, lambda: None)
    assert found.asked == ["tuned"]


def test_a_head_that_was_judged_on_one_fold_tells_of_its_rows(bert, tmp_path, monkeypatch):
    keep("the last layer, tuned", monkeypatch)
    monkeypatch.setattr(Search, "try_next", lambda *_: False)
    found, said = search(write_rows(tmp_path / "rows.tsv"), tmp_path / "store", bert)
    line = named(found.tried, "the last layer, tuned")
    assert line.folds == 1
    assert line.error > 0
    assert any("1 of 2 folds" in line for line in said)
    assert found.head.record["figures_of"] == "the setting on 1 of 2 held-out folds"
    table = found.out_of_fold
    assert table.num_rows == 48
    assert (table["prediction"].is_null().to_numpy() == (table["fold"].to_numpy() != 0)).all()
    assert table["proba_yes"].null_count == table["prediction"].null_count == 24
    right = table.filter(table["prediction"].is_valid())
    accuracy = np.mean(np.array(right["prediction"]) == np.array(right["label"]))
    assert found.head.metrics["accuracy"] == pytest.approx(accuracy)
    rows = held_out_rows(
        found.head, Store(tmp_path / "store").open(found.head.feature_set), Source(tmp_path / "rows.tsv"),
        predicted=table,
    )  # fmt: skip
    assert rows.of == 24
    np.testing.assert_allclose(rows.probabilities[:, 1], right["proba_yes"].to_numpy(), rtol=1e-6)


def test_words_are_joined_with_a_head_that_was_judged_on_one_fold(bert, tmp_path, monkeypatch):
    keep("all layers, tuned, and words", monkeypatch)
    monkeypatch.setattr(Search, "try_next", lambda *_: False)
    monkeypatch.setattr(Search, "best_of", lambda _, judged: judged[-1])
    found, _ = search(write_rows(tmp_path / "rows.tsv"), tmp_path / "store", bert)
    assert (found.head.kind, found.head.words is None) == ("encoder", False)
    assert found.head.record["figures_of"] == "the setting on 1 of 2 held-out folds"
    assert found.out_of_fold["prediction"].null_count == 24
    found.head.save(tmp_path / "head", found.tables)
    loaded = Head.load(tmp_path / "head")
    encoder = load_encoder_of(loaded.spec, backend="torch", precision="fp32")
    assert predict_texts(loaded, ["a b good"], encoder)[0].value in ("yes", "no")


def test_the_error_of_one_fold_is_that_of_its_rows():
    rng = np.random.default_rng(0)
    targets, fold_of = rng.integers(0, 2, 4000), np.arange(4000) % 2
    rows = SimpleNamespace(task=SINGLE_LABEL, targets=targets)
    judge = RowJudge(rows, fold_of, "accuracy", lambda *_: torch.zeros(1))

    def candidate(share, folds):
        right = rng.random(4000) < share
        outputs = np.eye(2, dtype=np.float32)[np.where(right, targets, 1 - targets)] * 0.8 + 0.1
        outputs[fold_of >= folds] = np.nan
        return Judged("", np.full(folds, share), {}, outputs, 0.0)

    one, other, whole = candidate(0.8, 1), candidate(0.9, 1), candidate(0.9, 2)
    binomial = np.sqrt(0.8 * 0.2 / 2000)
    assert judge.row_error(one) == pytest.approx(binomial, rel=0.5)
    assert judge.row_error(one, other) == pytest.approx(np.sqrt(binomial**2 + 0.09 / 2000), rel=0.5)
    assert judge.row_error(one, whole) == pytest.approx(judge.row_error(whole, one))
    assert judge.row_error(one, one) == 0
    together = one.and_folds(replace(whole, values=whole.values[1:]))
    assert len(together.values) == 2
    assert not np.isnan(together.outputs).any()
    np.testing.assert_array_equal(together.outputs[fold_of == 0], one.outputs[fold_of == 0])


@pytest.mark.parametrize("is_late", [True, False])
def test_one_that_fails_on_a_later_fold_is_left_as_a_whole_unless_time_is_over(is_late, monkeypatch):
    rows = SimpleNamespace(fold_of=np.arange(6) % 3, watched="accuracy")
    found = Search(rows, Budget(1), lambda _: None)
    tuned = Judged("tuned", np.array([0.9]), {}, np.empty(0), 1.0, candidate=object(), data=object())
    found.judged = [tuned]
    stopped = Stopped("tuned", "its training diverged", is_late)
    monkeypatch.setattr("enc.engine.auto.search.judge", lambda *_: stopped)
    assert found.try_next(tuned) is not is_late
    assert found.judged == ([tuned] if is_late else [])
    assert found.stopped == ([] if is_late else [stopped])
