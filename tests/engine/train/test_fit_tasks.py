"""Every task and head end to end on the fake encoder's features, and what is kept of a run."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from enc.engine import Fraction, Head, TrainConfig, encode_texts, predict_texts, score_parquet, train_head
from enc.engine.heads.kinds import HEADS
from enc.engine.train.examples import load_examples
from enc.engine.train.fit import fit
from enc.engine.train.scaling import feature_scaling
from enc.store import FeatureTable, HeadError, LabelError, Source, SourceError, SpecError
from fakes import TEXTS, WORDS, FakeEncoder, fake_spec

CONFIG = TrainConfig(epochs=12, learning_rate=0.05, batch_size=16)


def train(source, table, label="long", config=CONFIG, **options) -> Head:
    return train_head(source, table, valid=source, label_column=label, config=config, **options)


@pytest.mark.parametrize(
    ("label", "task", "name", "at_least"),
    [
        ("long", None, "accuracy", 0.95),
        ("tags", None, "f1", 0.9),
        (["long", "longest"], None, "f1", 0.9),
        ("words", "regression", "pearson", 0.99),
    ],
)
def test_every_task_is_learned_saved_and_scored(labelled, tmp_path, label, task, name, at_least):
    source, encoded = labelled
    table = encoded()
    head = train(source, table, label, task=task, config=dataclasses.replace(CONFIG, epochs=40))
    assert head.metrics[name] == head.history[-1][f"valid_{name}"] > at_least
    loaded = Head.load(head.save(tmp_path / "head"))
    assert (loaded.task, loaded.labels, loaded.metrics) == (
        head.task,
        head.labels,
        json.loads(json.dumps(head.metrics)),
    )

    encoder = FakeEncoder()
    features = encode_texts(encoder, TEXTS)
    np.testing.assert_array_equal(loaded.outputs(features), head.outputs(features))
    predictions = loaded.predict(features)
    assert [p.value for p in predict_texts(loaded, TEXTS, encoder)] == predictions
    summary = score_parquet(
        source.files()[0], tmp_path / "out.parquet", loaded, table.path.parent, proba=task is None
    )
    out = pq.read_table(tmp_path / "out.parquet")
    assert out["prediction"].to_pylist() == predictions
    assert (summary.scored, summary.encoded) == (84, 0)
    if task == "regression":
        assert summary.predictions == {"prediction": {}}
        assert "score" not in out.column_names
        np.testing.assert_allclose(predictions, pq.read_table(source.files()[0])["words"], atol=6)
        with pytest.raises(HeadError, match="a regression has no probabilities; leave out --proba"):
            score_parquet(source.files()[0], tmp_path / "x.parquet", loaded, table.path.parent, proba=True)
        with pytest.raises(HeadError, match="a regression has no probabilities; call predict"):
            loaded.predict_proba(features)
    elif label != "long":
        wrong = sum(set(p) != {loaded.labels.values[i] for i, t in enumerate(flags) if t} for p, flags in
                    zip(predictions, [[w > 3, w > 5] for w in WORDS], strict=True))  # fmt: skip
        assert wrong == round(84 * (1 - head.metrics["accuracy"]))
        first = next(i for i, labels in enumerate(predictions) if labels)
        assert out["score"][first].as_py()[0] == pytest.approx(
            out[f"proba_{predictions[first][0]}"][first].as_py()
        )
        assert sum(summary.predictions["prediction"].values()) == sum(map(len, predictions))


def test_lists_of_predictions_beside_rows_that_cannot_be_scored(labelled, tmp_path):
    source, encoded = labelled
    table = encoded()
    head = train(source, table, "tags")
    for texts in ([None, "word " * 5, "", "x"], [None], []):
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), tmp_path / "in.parquet")
        score_parquet(
            tmp_path / "in.parquet",
            tmp_path / "out.parquet",
            head,
            table.path.parent,
            proba=True,
            load=lambda spec: FakeEncoder(),
            overwrite=True,
        )
        out = pq.read_table(tmp_path / "out.parquet")
        nulls = [not text for text in texts]
        for name in ("prediction", "score", "proba_odd"):
            assert [value is None for value in out[name].to_pylist()] == nulls


@pytest.mark.parametrize("kind", [name for name in HEADS if name != "encoder"])
def test_every_head_is_trained_on_tokens(labelled, tmp_path, kind):
    source, encoded = labelled
    table = encoded(pooling=("tokens",))
    head = train(
        source,
        table,
        "has_long_word",
        config=dataclasses.replace(CONFIG, head=kind, epochs=20, learning_rate=0.01),
    )
    assert head.metrics["accuracy"] > 0.9
    assert head.metrics["parameters"] == head.network.parameters_count
    assert head.network.mean.shape == (4,)
    loaded = Head.load(head.save(tmp_path / "head"))
    features = encode_texts(FakeEncoder(pooling=("tokens",)), TEXTS)
    np.testing.assert_array_equal(loaded.predict_proba(features), head.predict_proba(features))


def test_same_seed_same_bits_with_dropout(labelled):
    source, encoded = labelled
    table, config = (
        encoded(),
        dataclasses.replace(CONFIG, head="mlp", head_args=dict(hidden=[8], dropout=0.5), epochs=3),
    )
    states = []
    for noise in range(2):
        torch.manual_seed(noise)
        states.append(train(source, table, config=config).network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_tokens_are_scaled_over_tokens_alone(labelled):
    source, encoded = labelled
    loaded = load_examples(source, encoded(pooling=("tokens",)), valid=source, label_column="long")
    mean, scale = feature_scaling(loaded.train.features)
    lengths = np.array([len(word) for text in TEXTS for word in text.split()[:8]])
    np.testing.assert_allclose(mean, [lengths.mean(), 1, 2, lengths.mean()])
    np.testing.assert_allclose(scale, [1 / lengths.std(), 0, 0, 1 / lengths.std()])


def test_parts_of_features_train_and_score_alone(labelled, tmp_path):
    source, encoded = labelled
    table = encoded(layers=(1, 2, 3), pooling=("cls", "mean"))
    use = table.spec.select(layers=[2], pooling=["mean"])
    head = train(source, table, use=use)
    alone = encode_texts(FakeEncoder(layers=(2,)), TEXTS)
    head = Head.load(head.save(tmp_path / "head"))
    assert (head.spec, head.network.mean.shape) == (use, (4,))

    def outcome(store, spec_wanted, cache=True):
        encoder = None

        def load(spec):
            nonlocal encoder
            assert (spec.layers, spec.pooling) == spec_wanted
            encoder = FakeEncoder(layers=spec.layers, pooling=spec.pooling)
            return encoder

        path, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
        pq.write_table(pa.table({"text": [*TEXTS, "quite new"]}), path)
        summary = score_parquet(path, out, head, store, proba=True, cache=cache, load=load, overwrite=True)
        np.testing.assert_allclose(
            np.stack([pq.read_table(out)[f"proba_{label}"][:84] for label in head.labels.values], 1),
            head.predict_proba(alone),
            rtol=1e-5,
        )
        return summary.encoded

    everything, the_part = ((1, 2, 3), ("cls", "mean")), ((2,), ("mean",))
    assert outcome(tmp_path / "store", everything, cache=False) == 1
    assert outcome(tmp_path / "store", everything) == 1  # what is added to a feature set has all its parts
    assert outcome(tmp_path / "store", everything) == 0
    assert outcome(tmp_path / "fresh", the_part) == len(set(TEXTS)) + 1
    assert FeatureTable(tmp_path / "fresh" / table.name).spec.digest == use.digest
    with pytest.raises(SpecError, match=r"max_length: 8, not 9"):
        train(source, table, use=fake_spec(max_length=9))
    with pytest.raises(SpecError, match=r"layers: 1,2,3, not 2; pooling: cls,mean, not mean"):
        head.require(table.spec)


def test_the_best_epoch_is_kept(labelled):
    source, encoded = labelled
    table = encoded()
    last = train(source, table, config=dataclasses.replace(CONFIG, learning_rate=0.5, optimizer="sgd"))
    best = train(
        source, table, config=dataclasses.replace(CONFIG, learning_rate=0.5, optimizer="sgd", metric="loss")
    )
    losses = [row["valid_loss"] for row in best.history]
    assert losses == [row["valid_loss"] for row in last.history]
    assert best.metrics["loss"] == pytest.approx(min(losses))
    assert best.metrics["epoch"] == 1 + int(np.argmin(losses))
    assert (last.metrics["epoch"], last.metrics["loss"]) == (12, pytest.approx(losses[-1]))


def test_training_stops_early(labelled):
    source, encoded = labelled
    config = dataclasses.replace(CONFIG, epochs=200, early_stopping=3, metric="f1")
    head = train(source, encoded(), config=config)
    figures = [row["valid_f1"] for row in head.history]
    assert len(figures) == head.metrics["epoch"] + 3 < 200
    assert max(figures) == head.metrics["f1"] == figures[head.metrics["epoch"] - 1]


def test_the_learning_rate_follows_its_schedule(labelled):
    source, encoded = labelled
    rates = [
        row["learning_rate"]
        for row in train(
            source, encoded(), config=dataclasses.replace(CONFIG, schedule="linear", warmup=0.5)
        ).history
    ]
    assert rates.index(max(rates)) in (5, 6)
    assert rates[0] < max(rates) == pytest.approx(0.05, rel=0.05)
    assert rates[-1] < 0.002


def test_class_weights_and_smoothing_change_what_is_learned(labelled):
    source, encoded = labelled
    loaded = load_examples(source, encoded(), valid=source, label_column="longest")
    plain, weighted, smoothed = (
        fit(loaded, dataclasses.replace(CONFIG, epochs=2, **changes))
        for changes in (dict(), dict(class_weights={True: 30}), dict(label_smoothing=0.5))
    )
    assert weighted.metrics["recall_binary"] > plain.metrics["recall_binary"]
    assert smoothed.metrics["loss"] > plain.metrics["loss"]


@pytest.mark.parametrize(
    ("label", "changes", "options", "message"),
    [
        ("words", dict(), dict(), "holds fractions such as 10.5; pass --task regression"),
        ("long", dict(metric="pearson"), dict(), "has no metric 'pearson'; there are loss, accuracy"),
        ("long", dict(head="cnn"), dict(), "head 'cnn' reads token features"),
        ("long", dict(head_args=dict(width=3)), dict(), "no argument 'width'"),
        ("long", dict(class_weights={"maybe": 2}), dict(), "class weight is given for label 'maybe'"),
        ("words", dict(label_smoothing=0.1), dict(task="regression"), "leave out --label-smoothing"),
        ("words", dict(class_weights="balanced"), dict(task="regression"), "leave out --class-weights"),
        (
            "long",
            dict(optimizer="sgd", learning_rate=1e30),
            dict(),
            "training diverged in epoch .*lower --learning-rate",
        ),
    ],
)
def test_what_cannot_be_trained(labelled, label, changes, options, message):
    source, encoded = labelled
    with pytest.raises((SourceError, LabelError, HeadError), match=message):
        train(source, encoded(), label, config=dataclasses.replace(CONFIG, **changes), **options)


def test_sets_that_teach_nothing(labelled):
    source, encoded = labelled
    table, path = encoded(), source.files()[0]
    constant = Source(query=f"SELECT text, 1.5 AS words FROM '{path}'", allowed_paths=[path])
    with pytest.raises(LabelError, match=r"all training rows of the query have the label 1\.5"):
        train_head(constant, table, valid=source, label_column="words", task="regression")
    one_class = Source(query=f"SELECT text, long FROM '{path}' WHERE long", allowed_paths=[path])
    with pytest.raises(SourceError, match="metric 'auc' is undefined on the validation rows; pass another"):
        train_head(
            source,
            table,
            valid=one_class,
            label_column="long",
            config=dataclasses.replace(CONFIG, epochs=1, metric="auc"),
        )
    unused = Source(query=f"SELECT text, long, false AS never FROM '{path}'", allowed_paths=[path])
    with pytest.raises(LabelError, match="no training row is left with label never"):
        train_head(unused, table, valid=Fraction(0.5), label_column=["long", "never"])
