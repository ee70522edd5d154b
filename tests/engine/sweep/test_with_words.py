"""Heads with words: trained, saved, and what they make of rows."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.engine import (
    Folds,
    Fraction,
    Head,
    SolveConfig,
    TrainConfig,
    build_features,
    evaluate_head,
    predict_texts,
    score_parquet,
    search,
    search_path,
    train_head,
)
from enc.engine.sweep.baseline import words_alone
from enc.engine.sweep.with_words import add_words
from enc.engine.words.texts import Texts
from enc.store import HeadError, Source, SourceError, Store
from fakes import FakeEncoder

WORDS = ["alpha", "beta", "gamma", "delta"]
TASKS = [{}, {"label_column": ["a", "b"]}, {"label_column": "number", "task": "regression"}]


@pytest.fixture
def rows(tmp_path):
    """Texts whose label is in their words, which the lengths of the words do not tell."""
    chosen = np.random.default_rng(0).integers(0, 4, (150, 3))
    lines = [
        f"{' '.join(WORDS[one] for one in row)} {['good', 'evil', 'grey'][number % 3]} {number}\t"
        f"{'xyz'[number % 3]}\t{number % 3 // 2}\t{number % 3 % 2}\t{number % 3 + number % 7 / 50}"
        for number, row in enumerate(chosen)
    ]
    (tmp_path / "t.tsv").write_text("text\tlabel\ta\tb\tnumber\n" + "\n".join(lines) + "\n")
    source = Source(tmp_path / "t.tsv")
    build_features(source, tmp_path / "store", FakeEncoder())
    return source, Store(tmp_path / "store").open()


def with_words(source, table, config, valid, **options):
    options = {**options, "valid": valid}
    found = None
    if isinstance(valid, Folds) and isinstance(config, SolveConfig):
        found = search_path(source, table, config=config, **options)
    elif isinstance(valid, Folds):
        found = search(source, table, grid={}, config=config, **options)
    head = found.head if found else train_head(source, table, config=config, **options)
    predicted = found.out_of_fold if found else None
    return add_words(head, source, table, seed=config.seed, out_of_fold=predicted, **options)


@pytest.mark.parametrize("options", TASKS, ids=["single", "multi", "regression"])
@pytest.mark.parametrize("valid", [Fraction(0.3), Folds(3)], ids=str)
@pytest.mark.parametrize("config", [TrainConfig(epochs=2), SolveConfig(l2=[0.1])], ids=["adam", "lbfgs"])
def test_words_are_learned_saved_and_told(rows, tmp_path, options, valid, config):
    source, table = rows
    found = with_words(source, table, config, valid, **options)
    head, record = found.head, found.head.record["words"]
    metric = head.task.metric
    assert head.metrics[metric] > 0.9 > (record["without"][metric] or 0)
    assert record["alone"][metric] > 0.9
    assert (found.out_of_fold is None) == (valid == Fraction(0.3))
    head.save(tmp_path / "head")
    assert json.loads((tmp_path / "head" / "head.json").read_text())["format"] == 3
    again = with_words(source, table, config, valid, **options).head
    texts = ["alpha good 3", "beta evil 4", "gamma grey 5"]
    encoder = FakeEncoder()
    predictions = [predict_texts(one, texts, encoder) for one in (head, again, Head.load(tmp_path / "head"))]
    assert predictions[0] == predictions[1] == predictions[2]
    if metric == "accuracy":
        assert [one.value for one in predictions[0]] == ["x", "y", "z"]


def test_known_and_new_texts_are_scored_and_evaluated(rows, tmp_path):
    source, table = rows
    head = with_words(source, table, SolveConfig(l2=[0.1]), Fraction(0.3)).head
    texts = ["alpha good 3", "", *[f"alpha {one} new" for one in ("good", "evil", "grey")]]
    (tmp_path / "new.tsv").write_text(
        "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in zip(texts, "xxxyz", strict=True))
    )
    encoder = FakeEncoder()
    load = {"load": lambda _: encoder}
    score_parquet(tmp_path / "new.tsv", tmp_path / "out.parquet", {"": head, "b_": head.replace(words=None)},
                  tmp_path / "store", **load)  # fmt: skip
    scored = pq.read_table(tmp_path / "out.parquet")
    usable = [text for text in texts if text]
    expected = predict_texts(head, usable, FakeEncoder())
    assert [one for one in scored["prediction"].to_pylist() if one] == [one.value for one in expected]
    assert scored["prediction"][1].as_py() is None
    pq.write_table(scored.select(["text"]), tmp_path / "new.parquet")
    score_parquet(tmp_path / "new.parquet", tmp_path / "again.parquet", head, tmp_path / "store", **load)
    assert pq.read_table(tmp_path / "again.parquet")["prediction"] == scored["prediction"]
    found = evaluate_head(tmp_path / "new.tsv", head, tmp_path / "store", **load)
    assert found.figures.metrics["accuracy"] == 1


def test_a_head_with_words_does_nothing_without_texts(rows):
    source, table = rows
    head = with_words(source, table, SolveConfig(l2=[0.1]), Fraction(0.3)).head
    features = np.ones((2, 4), np.float32)
    with pytest.raises(HeadError, match="was given none"):
        head.predict(features)
    with pytest.raises(HeadError, match="was given 1"):
        head.predict(features, Texts.of(["one"]))
    with pytest.raises(HeadError, match="single texts"):
        head.predict(features, Texts.of(["one", "two"], ["three", "four"]))
    assert len(head.predict(features, Texts.of(["one", "two"]))) == 2
    assert len(head.replace(words=None).predict(features)) == 2


def test_a_damaged_vocabulary_is_refused(rows, tmp_path):
    source, table = rows
    with_words(source, table, SolveConfig(l2=[0.1]), Fraction(0.3)).head.save(tmp_path / "head")
    path = tmp_path / "head" / "words.json"
    path.write_text(path.read_text().replace("good", "goof"))
    with pytest.raises(HeadError, match="damaged"):
        Head.load(tmp_path / "head")
    path.unlink()
    with pytest.raises(HeadError, match="damaged"):
        Head.load(tmp_path / "head")


@pytest.mark.parametrize("files", [[], ["words.json", "words.safetensors"]], ids=["files", "no files"])
def test_a_head_whose_words_are_named_no_more_is_refused(rows, tmp_path, files):
    source, table = rows
    with_words(source, table, SolveConfig(l2=[0.1]), Fraction(0.3)).head.save(tmp_path / "head")
    path = tmp_path / "head" / "head.json"
    saved = json.loads(path.read_text())
    del saved["words"]
    path.write_text(json.dumps(saved))
    for name in files:
        (tmp_path / "head" / name).unlink()
    with pytest.raises(HeadError, match="words"):
        Head.load(tmp_path / "head")


def test_words_join_the_combination_of_pairs_that_are_encoded_apart(rows, tmp_path):
    lines = ["a\tb\tlabel"]
    for number, row in enumerate(np.random.default_rng(1).integers(0, 4, (120, 2))):
        first, second = (WORDS[one] for one in row)
        lines.append(f"{first} {['good', 'evil'][number % 2]}\t{second} {number}\t{number % 2}")
    (tmp_path / "p.tsv").write_text("\n".join(lines) + "\n")
    source = Source(tmp_path / "p.tsv", text_column="a", pair_column="b", pairs="separate")
    encoder = FakeEncoder()
    build_features(source, tmp_path / "pairs", encoder)
    table, options = Store(tmp_path / "pairs").open(), {"valid": Folds(3)}
    grid = {"combine": ["cosines", "cosines+words"]}
    found = search_path(source, table, grid=grid, config=SolveConfig(l2=[0.1]), **options)
    joined = add_words(found.head, source, table, seed=42, out_of_fold=found.out_of_fold, **options).head
    assert joined.combination is not None
    assert joined.combination.names == found.head.combination.names
    assert joined.metrics["accuracy"] > 0.95 > found.head.metrics["accuracy"]
    joined.save(tmp_path / "head")
    head = Head.load(tmp_path / "head")
    score_parquet(tmp_path / "p.tsv", tmp_path / "out.parquet", head, tmp_path / "pairs")
    scored = pq.read_table(tmp_path / "out.parquet")
    sides = [scored[name].to_pylist() for name in "ab"]
    predicted = predict_texts(head, sides[0], encoder, sides[1])
    assert [one.value for one in predicted] == scored["prediction"].to_pylist()
    shares = [one.proba[one.value] for one in predicted]
    np.testing.assert_allclose(shares, scored["score"].to_numpy(), rtol=1e-5)


def test_rows_that_changed_meanwhile_are_refused(rows):
    source, table = rows
    head = train_head(source, table, config=SolveConfig(l2=[0.1]), valid=Fraction(0.3))
    lines = (source.files()[0],)
    with open(lines[0]) as file:
        content = file.read().splitlines()
    with open(lines[0], "w") as file:
        file.write("\n".join(content[:-3]) + "\n")
    with pytest.raises(SourceError, match="changed"):
        add_words(head, source, table, seed=42, valid=Fraction(0.3))


def test_the_baseline_is_told_where_it_is_cheap(rows):
    source, table = rows
    head = train_head(source, table, config=SolveConfig(l2=[0.1]), valid=Fraction(0.3))
    options = {"seed": 42, "valid": Fraction(0.3)}
    assert words_alone(head, source, table, most_seconds=0.0, **options) is None
    found = words_alone(head, source, table, most_seconds=100.0, **options)
    assert found is not None
    assert found["features"] == "TF-IDF of words 1-2 and characters 3-4"
    with_them = add_words(head, source, table, **options).head
    assert found["alone"] == with_them.record["words"]["alone"]
