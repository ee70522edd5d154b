"""Pairs whose texts are encoded apart are scored as they were trained on."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import (
    Fraction,
    SolveConfig,
    build_features,
    evaluate_head,
    predict_texts,
    score_parquet,
    train_head,
)
from enc.engine.scoring import batches_of_ids
from enc.store import HeadError, Source, SourceError, Store
from fakes import FakeEncoder

TRAIN = [(f"{'w ' * (i % 5)}xx", f"{'w ' * (i % 4)}{'yz'[i % 2]} {i % 3}", i % 5 == i % 4) for i in range(60)]
NEW = [
    ("w w xx", "w y 1"),
    ("new", "new"),
    ("new", " "),
    ("w w w", "w w xx"),
    ("xx", "brand new"),
    ("brand new", "xx"),
]


@pytest.fixture
def source(write):
    lines = "\n".join(f"{first}\t{second}\t{label}" for first, second, label in TRAIN)
    path = write("train.tsv", f"a\tb\tlabel\n{lines}\n")
    return Source(path, text_column="a", pair_column="b", pairs="separate")


@pytest.fixture
def trained(source, tmp_path):
    """A head of a setting, and the store that has the features of its texts."""

    def train(combine=None, **setting):
        build_features(source, tmp_path / "store", FakeEncoder(**setting), name="set")
        table, config = Store(tmp_path / "store").open("set"), SolveConfig(l2=(0.01,))
        return train_head(source, table, valid=Fraction(0.3), config=config, combine=combine)

    return train


@pytest.fixture(params=["tsv", "parquet"])
def new(tmp_path, request):
    first, second = zip(*NEW, strict=True)
    table, path = pa.table({"a": first, "b": second}), tmp_path / f"new.{request.param}"
    if request.param == "parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        path.write_text("a\tb\n" + "".join(f"{one}\t{other}\n" for one, other in NEW))
    return path


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("combine", ["cosines", "cosines,words,difference,rbf"])
def test_scores_are_those_of_predict(trained, new, tmp_path, monkeypatch, combine, cache):
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 2)
    head, encoder, output = trained(combine), FakeEncoder(), tmp_path / "out.parquet"
    options = {"load": lambda _: encoder, "proba": True, "cache": cache}
    summary = score_parquet(new, output, head, tmp_path / "store", **options)
    pairs = [pair for pair in NEW if pair[1].strip()]
    unknown = {text for pair in pairs for text in pair} - {text for row in TRAIN for text in row[:2]}
    assert (summary.scored, summary.rejected) == (5, 1)
    assert summary.encoded == encoder.encoded == len(unknown)
    found = pq.read_table(output).to_pylist()
    first, second = (list(side) for side in zip(*pairs, strict=True))
    wanted = predict_texts(head, first, FakeEncoder(), second)
    assert found.pop(2)["prediction"] is None
    for row, one in zip(found, wanted, strict=True):
        assert row["prediction"] == one.value
        assert row["proba_True"] == pytest.approx(one.proba["True"], abs=1e-5)
    if cache:
        again = score_parquet(new, output, head, tmp_path / "store", overwrite=True)
        assert (again.encoded, again.cached) == (0, summary.cached + len(unknown))


def test_tokens_are_aligned_in_scoring_too(trained, new, tmp_path):
    setting = {"pooling": ("tokens",), "special_tokens": False}
    head, output = trained(**setting), tmp_path / "out.parquet"
    load = {"load": lambda _: FakeEncoder(**setting)}
    score_parquet(new, output, head, tmp_path / "store", **load)
    found = pq.read_table(output)["prediction"].to_pylist()
    first, second = (list(side) for side in zip(*NEW, strict=True))
    wanted = [one.value for one in predict_texts(head, first, FakeEncoder(**setting), second)]
    assert [*found[:2], *found[3:]] == [*wanted[:2], *wanted[3:]]


def test_figures_are_of_the_same_predictions(trained, source, tmp_path):
    head = trained("cosines,words")
    first, second = [row[0] for row in TRAIN], [row[1] for row in TRAIN]
    figures = evaluate_head(source.names[0], head, tmp_path / "store").figures
    predicted = predict_texts(head, first, FakeEncoder(), second)
    right = [one.value == str(row[2]) for one, row in zip(predicted, TRAIN, strict=True)]
    assert figures.metrics["accuracy"] == pytest.approx(sum(right) / len(right))


def test_heads_of_two_ways_are_scored_apart(trained, source, new, tmp_path):
    head = trained("cosines")
    joint = Source(source.names[0], text_column="a", pair_column="b")
    build_features(joint, tmp_path / "store", FakeEncoder(), name="set")
    table = Store(tmp_path / "store").open("set")
    other = train_head(joint, table, valid=Fraction(0.3), config=SolveConfig(l2=(0.01,)))
    with pytest.raises(SourceError, match="score with them one after the other"):
        score_parquet(new, tmp_path / "out.parquet", {"a_": head, "b_": other}, tmp_path / "store")


def test_a_single_text_is_no_pair(trained):
    with pytest.raises(HeadError, match="pass the second ones, too"):
        predict_texts(trained("cosines"), ["one"], FakeEncoder())
