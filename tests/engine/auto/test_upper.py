"""Heads of upper layers as the last candidates of a search."""

from types import SimpleNamespace

import numpy as np
import pytest
from enc.engine import Head, load_encoder, load_encoder_of, predict_texts
from enc.engine.auto import upper
from enc.engine.auto.budget import Budget
from enc.engine.auto.candidates import upper_candidates
from enc.engine.auto.config import AutoConfig
from enc.engine.auto.judged import Judged, _LeftError, _Trial
from enc.engine.auto.run import auto_head
from enc.engine.auto.search import Search
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
    assert any("the last layer, tuned" in line and "full fine-tune" in line for line in found.next_steps)
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


def test_without_time_or_layers_they_are_left(bert, tiny_model, tmp_path):
    source = write_rows(tmp_path / "rows.tsv")
    found, _ = search(source, tmp_path / "store", bert, minutes=1e-6)
    late = named(found.stopped, "heads of upper layers")
    assert (late.reason, late.is_late) == ("the time is over", True)
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


@pytest.mark.parametrize(
    ("reached", "tried"),
    [
        ([0.9, 0.92, 0.93], 3),
        ([0.9, 0.89, 0.93], 2),  # no better than with one layer
        ([0.8, 0.92, 0.93], 1),  # no better than what is frozen
        ([None, 0.92, 0.93], 1),
    ],
)
def test_more_layers_are_tried_while_more_are_better(reached, tried, monkeypatch):
    def judged(mean):
        return Judged("", np.array([mean, mean]), {}, np.empty(0), 0.0)

    asked = []

    def try_one(candidate, _, before):
        asked.append((candidate.name, before))
        value = reached[len(asked) - 1]
        return None if value is None else judged(value)

    spec = fake_spec(layers=(8, 10, 11), pooling=("tokens",))
    fake = SimpleNamespace(best_linear=judged(0.8), try_one=try_one, watched="accuracy")
    states = SimpleNamespace(encoder=SimpleNamespace(layer_count=12))
    found = upper.try_upper(fake, states, lambda _: SimpleNamespace(spec=spec), AutoConfig())
    assert len(asked) == tried
    assert asked[0][1] is fake.best_linear
    assert len(found) == tried - (reached[0] is None)
    names = [one.name for one in upper_candidates(spec, 12, AutoConfig())]
    assert names == ["the last layer, tuned", "the upper 2 layers, tuned", "the upper 4 layers, tuned"]
    assert [name for name, _ in asked] == names[:tried]
