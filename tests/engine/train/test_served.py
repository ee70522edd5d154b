"""Pairs whose texts are encoded apart, from texts to a head that is saved and read again."""

from pathlib import Path

import numpy as np
import pytest
from enc.engine import (
    Folds,
    Fraction,
    Head,
    SolveConfig,
    TrainConfig,
    build_features,
    load_examples,
    predict_texts,
    search,
    search_path,
    train_head,
)
from enc.engine.pairs.words import COUNTS
from enc.store import MissingFeatures, Source, SourceError, Store
from fakes import FakeEncoder

RNG = np.random.default_rng(0)
TEXTS = ["w" * (1 + i % 5) + " x" * (i % 7) + f" {'yz'[i % 2] * (i // 7 + 1)}" for i in range(30)]


@pytest.fixture
def pairs(write):
    """Pairs, alike where they have as many words, and a number that says how alike."""
    lines = []
    for _ in range(90):
        first, second = (TEXTS[i] for i in RNG.integers(0, len(TEXTS), 2))
        apart = abs(len(first.split()) - len(second.split()))
        lines.append(f"{first}\t{second}\t{int(apart < 2)}\t{5 - apart / 2}")
    path = write("p.tsv", "a\tb\tlabel\tscore\n" + "\n".join(lines) + "\n")
    return Source(path, text_column="a", pair_column="b", pairs="separate")


@pytest.fixture
def table(pairs, tmp_path):
    build_features(pairs, tmp_path / "store", FakeEncoder(layers=(1, 2)))
    return Store(tmp_path / "store").open()


def rows_of(pairs):
    """Both texts of each row."""
    lines = Path(pairs.names[0]).read_text().splitlines()[1:]
    return [tuple(line.split("\t")[:2]) for line in lines]


def test_no_text_of_a_pair_is_encoded_twice(pairs, write, tmp_path):
    encoder, store = FakeEncoder(), tmp_path / "store"
    built = build_features(pairs, store, encoder)
    texts = {text for row in rows_of(pairs) for text in row}
    assert (built.rows, built.distinct, built.encoded, encoder.encoded) == (90, *[len(texts)] * 3)
    # The other way round, and as single texts: all are known.
    turned = Source(pairs.names[0], text_column="b", pair_column="a", pairs="separate")
    single = Source(pairs.names[0], text_column="a")
    more = Source(write("m.tsv", f"text\n{min(texts)}\nnew\n"))
    for source, encoded in ((turned, 0), (single, 0), (more, 1)):
        assert build_features(source, store, encoder).encoded == encoded
    assert Store(store).feature_sets() == ["fake-mean-8-float32"]


@pytest.mark.parametrize(
    ("config", "columns"),
    [
        (SolveConfig(l2=(0.1, 0.01)), {}),
        (SolveConfig(l2=(0.01,)), {"label_column": "score", "task": "regression"}),
        (TrainConfig(epochs=3, learning_rate=0.05), {}),
        (TrainConfig(head="mlp", head_args={"hidden": 8}, epochs=3), {"combine": "difference,cosines"}),
        (SolveConfig(l2=(0.01,)), {"combine": "cosines,words,product,rbf"}),
    ],
    ids=["lbfgs", "regression", "linear", "mlp", "rbf"],
)
def test_a_head_that_is_saved_and_read_predicts_what_it_did(pairs, table, tmp_path, config, columns):
    head = train_head(pairs, table, valid=pairs, config=config, **columns)
    assert head.combination is not None
    head.save(tmp_path / "head")
    read, encoder = Head.load(tmp_path / "head"), FakeEncoder(layers=(1, 2))
    assert (read.shape, read.spec) == (head.shape, table.spec)
    first, second = (list(side) for side in zip(*rows_of(pairs), strict=True))
    found = [predict_texts(one, first, encoder, second) for one in (head, read)]
    for one, other in zip(*found, strict=True):
        assert one.value == pytest.approx(other.value)
        assert one.proba == pytest.approx(other.proba, abs=1e-6)
    # What is served in training is what predict_texts makes of the texts.
    served = load_examples(pairs, table, valid=pairs, **columns).train.features
    values = read.predict(served.take(np.arange(served.rows)))
    assert values == pytest.approx([one.value for one in found[0]], rel=1e-4)


def test_the_cosine_carries_a_regression(pairs, table):
    task = {"label_column": "score", "task": "regression"}
    config = SolveConfig(l2=(0.001,))
    found = [
        search_path(pairs, table, valid=Folds(3), config=config, combine=names, **task).head.metrics[
            "pearson"
        ]
        for names in ("cosines", "cosines,words,difference")
    ]
    assert 0 < found[0] < found[1]


@pytest.mark.parametrize("names", ["difference", "product", "cosines", "cosines,difference,product,rbf"])
def test_symmetric_combinations_do_not_see_the_order_of_a_pair(pairs, table, names):
    turned = Source(pairs.names[0], text_column="b", pair_column="a", pairs="separate")
    one, other = (
        load_examples(source, table, valid=Folds(2), combine=names).train.features
        for source in (pairs, turned)
    )
    rows = np.arange(one.rows)
    np.testing.assert_array_equal(one.take(rows), other.take(rows))


def test_parts_of_the_features_are_combined_and_fitted_anew(pairs, table):
    data = load_examples(pairs, table, valid=Fraction(0.3), combine="cosines,rbf")
    use = table.spec.select(layers=[2])
    part, alone = (
        data.using(use),
        load_examples(pairs, table, valid=Fraction(0.3), combine="cosines,rbf", use=use),
    )
    assert (data.shape, part.shape, part.combination.table_shapes(use)["rbf.mean"]) == ((514,), (513,), (1,))
    for name in ("train", "valid"):
        sets = [getattr(one, name).features for one in (part, alone)]
        np.testing.assert_allclose(*(one.take(np.arange(one.rows)) for one in sets), rtol=1e-5)


def test_pairs_are_swept_over_learning_rates_layers_and_folds(pairs, table):
    found = search(
        pairs,
        table,
        grid={"learning_rate": [0.01, 0.1], "use": ["layers=1", "layers=2"]},
        valid=Folds(3),
        config=TrainConfig(epochs=2),
        combine="cosines,words",
    )
    assert len(found.compared) == 4
    assert found.head.combination is not None
    assert found.head.shape == (1 + len(COUNTS),)
    assert found.out_of_fold is not None


def test_combinations_are_swept(pairs, table):
    grid = {"combine": ["cosines", "cosines+words+rbf"], "use": ["layers=1", "layers=2"]}
    found = search_path(pairs, table, grid=grid, valid=Folds(2), config=SolveConfig(l2=(0.1, 0.01)))
    settings = {(one.setting["combine"], one.setting["use"]) for one in found.compared}
    assert settings == {(combine, use) for combine in grid["combine"] for use in grid["use"]}
    best, head = found.compared[0].setting, found.head
    assert head.combination is not None
    assert "+".join(head.combination.names) == best["combine"]
    shapes = {name: one.shape for name, one in head.combination.tables.items()}
    assert shapes == head.combination.table_shapes(head.spec)
    many = search(pairs, table, grid=grid, valid=Fraction(0.3), config=TrainConfig(epochs=1))
    assert len(many.compared) == 4
    with pytest.raises(SourceError, match="'combine' is swept for pairs that are encoded apart"):
        search_path(Source(pairs.names[0], text_column="a"), table, grid=grid, valid=Folds(2))


def test_what_does_not_fit_is_told(pairs, table, tmp_path):
    joint = Source(pairs.names[0], text_column="a", pair_column="b")
    with pytest.raises(SourceError, match="add --pair-column and --pairs separate"):
        load_examples(joint, table, valid=Fraction(0.3), combine="cosines")
    with pytest.raises(SourceError, match=r"pairs are separate in .* and joint in"):
        load_examples(pairs, table, valid=joint)
    with pytest.raises(SourceError, match="compares tokens"):
        load_examples(pairs, table, valid=Fraction(0.3), combine="alignment")
    build_features(joint, tmp_path / "joint", FakeEncoder())
    with pytest.raises(MissingFeatures, match="--pair-column b --pairs separate"):
        load_examples(pairs, Store(tmp_path / "joint").open(), valid=Fraction(0.3))


def test_tokens_are_aligned(pairs, tmp_path):
    build_features(pairs, tmp_path / "store", FakeEncoder(pooling=("tokens",), special_tokens=False))
    table = Store(tmp_path / "store").open()
    head = train_head(pairs, table, valid=Fraction(0.3), config=SolveConfig(l2=(0.1,)))
    assert head.combination is not None
    assert head.combination.names == ("cosines", "alignment", "words")
    assert head.shape == (3 + 6 + len(COUNTS),)


def test_equal_texts_on_both_sides_are_served(write, tmp_path):
    path = write("same.tsv", "a\tb\tlabel\n" + "".join(f"{t}\t{t}\t{i % 2}\n" for i, t in enumerate(TEXTS)))
    source = Source(path, text_column="a", pair_column="b", pairs="separate")
    encoder = FakeEncoder()
    build_features(source, tmp_path / "store", encoder)
    assert encoder.encoded == len(set(TEXTS))
    data = load_examples(source, tmp_path / "store" / "fake-mean-8-float32", valid=Folds(2))
    rows = data.train.features.take(np.arange(len(TEXTS)))
    np.testing.assert_allclose(rows[:, [0, -1]], 1, rtol=1e-6)
