from typing import NamedTuple

import enc
import numpy as np
import pyarrow.parquet as pq
import pytest
from audited import WIDTH, stored, two_classes, written

ROWS = 240
QUICK = enc.SolveConfig(l2=[0.1])


class World(NamedTuple):
    train: enc.Source
    valid: enc.Source
    table: enc.FeatureTable
    wrong: np.ndarray
    wrong_valid: np.ndarray


@pytest.fixture
def world(tmp_path):
    """Training and validation rows with wrong labels, duplicates and an outlier, and their feature set."""
    labels, features = two_classes(ROWS + 60)
    texts = [f"text {number}" for number in range(ROWS + 60)]
    clear = np.flatnonzero(np.abs(features[:, 0]) > 3)  # which heads are sure of
    wrong, wrong_valid = clear[[1, 5, 9]], clear[clear >= ROWS + 10][:1]
    labels[wrong] ^= True
    labels[wrong_valid] ^= True
    texts[50] = " TEXT  49"  # the same text, and features of its own
    labels[50], features[50] = labels[49], features[49] * np.float32(0.5)
    features[60] = features[59] * np.float32(1.01)  # nearly the same
    labels[60] = labels[59]
    texts[70], labels[70] = texts[69], not labels[69]  # labels that contradict each other
    texts[ROWS + 7] = texts[80]  # of training, too
    features[ROWS + 7], labels[ROWS + 7] = features[80], labels[80]
    features[ROWS + 8], labels[ROWS + 8] = features[81] * np.float32(1.01), labels[81]
    train = written(tmp_path / "train.parquet", text=texts[:ROWS], label=labels[:ROWS])
    valid = written(tmp_path / "valid.parquet", text=texts[ROWS:], label=labels[ROWS:])
    table = stored(tmp_path / "store" / "set", texts, features)
    return World(enc.Source(train), enc.Source(valid), table, wrong, wrong_valid - ROWS)


def audit(*rows, **options):
    return enc.audit(*rows, **{"config": QUICK, **options})


def rows_of(found, reason, name="train"):
    rows = found.table_of(reason).to_pylist()
    return sorted(row["row"] - 1 for row in rows if row["set"] == name)


def test_what_was_planted_is_found(world):
    found = audit(world.train, world.table, valid=world.valid, similarity=0.999)
    assert set(rows_of(found, "wrong_label")) >= set(world.wrong)
    assert len(rows_of(found, "wrong_label")) <= len(world.wrong) + 4
    assert set(rows_of(found, "wrong_label", "valid")) >= set(world.wrong_valid)
    assert rows_of(found, "contradiction") == [69, 70]
    assert rows_of(found, "same_text") == [50, 70]
    assert rows_of(found, "near_duplicate") == [60]
    assert rows_of(found, "leak", "valid") == [7, 8]
    assert rows_of(found, "leak") == []
    assert found.rows == {"train": ROWS, "valid": 60}
    assert found.rows_with("leak") == 2


def test_rows_tell_what_they_are_like_and_what_is_suggested(world):
    train, valid, table = world[:3]
    found = audit(train, table, valid=valid, similarity=0.999)
    (near,) = found.table_of("near_duplicate").to_pylist()
    assert (near["like_row"], near["like_text"], near["like_set"]) == (60, "text 59", "train")
    assert near["cosine"] > 0.999
    same, nearly = sorted(found.table_of("leak").to_pylist(), key=lambda row: row["row"])
    assert (same["like_row"], same["cosine"]) == (81, None)
    assert (nearly["like_row"], nearly["like_text"]) == (82, "text 81")
    contradiction = found.table_of("contradiction").to_pylist()
    assert [row["like_row"] for row in contradiction] == [71, 70]
    assert all(row["label"] != row["like_label"] for row in contradiction)
    wrong = found.table_of("wrong_label")
    scores = wrong.column("label_score").to_pylist()
    assert scores == sorted(scores)
    for row in wrong.to_pylist():
        assert row["suggested"] == (not row["label"])
        assert row["suggested_score"] == pytest.approx(1 - row["label_score"], abs=1e-5)
    assert set(found.table.column("source").to_pylist()) == {str(train.paths[0]), str(valid.paths[0])}


def test_a_row_like_no_other_is_found(tmp_path):
    labels, features = two_classes(200)
    features[17] = 0
    features[17, 5] = -50
    texts = [f"text {number}" for number in range(200)]
    source = enc.Source(written(tmp_path / "t.parquet", text=texts, label=labels))
    found = audit(source, stored(tmp_path / "store" / "set", texts, features), similarity=1)
    lonely = found.table_of("outlier")
    assert lonely.column("row")[0].as_py() == 18  # the loneliest first
    assert len(lonely) < 20


def test_without_comparisons_there_are_no_duplicates_but_equal_texts(world):
    train, _, table = world[:3]
    found = audit(train, table, similarity=None)
    assert rows_of(found, "same_text") == [50, 70]
    assert found.rows_with("near_duplicate") == found.rows_with("outlier") == 0


def test_figures_without_validation_rows_are_of_folds(world):
    train, valid, table = world[:3]
    found = audit(train, table, similarity=None)
    assert found.difference.judged_on == "5 held-out folds"
    assert found.difference.rows == ROWS
    assert 0.9 < found.difference.with_all <= found.difference.without + 0.01
    assert found.of_undoubted > found.of_all > 0.9
    judged = audit(train, table, valid=valid, similarity=None).difference
    assert (judged.judged_on, judged.rows) == ("the 60 validation rows", 60)
    assert judged.left_out == found.rows_with("wrong_label")


def test_same_seed_same_findings(world):
    train, valid, table = world[:3]
    one, other = (audit(train, table, valid=valid) for _ in range(2))
    assert one.table.equals(other.table)
    assert one.difference == other.difference


def test_a_label_of_one_row_is_not_judged(tmp_path):
    labels, features = two_classes(80)
    named = [str(label) for label in labels]
    named[3] = "rare"
    texts = [f"text {number}" for number in range(80)]
    source = enc.Source(written(tmp_path / "t.parquet", text=texts, label=named))
    found = audit(source, stored(tmp_path / "store" / "set", texts, features))
    assert found.not_judged == 1
    assert 3 not in rows_of(found, "wrong_label")


def test_several_labels(tmp_path):
    first, features = two_classes(150)
    second, others = two_classes(150, seed=1)
    features[:, 1] = others[:, 0]
    lists = [
        [name for name, there in (("a", a), ("b", b)) if there] for a, b in zip(first, second, strict=True)
    ]
    lists[9] = ["b"] if "b" not in lists[9] else []
    texts = [f"text {number}" for number in range(150)]
    source = enc.Source(written(tmp_path / "t.parquet", text=texts, label=lists))
    found = audit(source, stored(tmp_path / "store" / "set", texts, features))
    assert 9 in rows_of(found, "wrong_label")
    assert found.metric == "f1"
    assert isinstance(found.table.column("suggested").to_pylist()[0], list)


def test_a_regression(tmp_path):
    features = np.random.default_rng(0).standard_normal((150, WIDTH)).astype(np.float32)
    stars = features[:, 0] + 0.1 * features[:, 1]
    stars[9] += 4
    texts = [f"text {number}" for number in range(150)]
    texts[100] = texts[99]
    stars[100] = stars[99] + 0.1  # people differ by that much
    source = enc.Source(written(tmp_path / "t.parquet", text=texts, label=stars))
    found = audit(source, stored(tmp_path / "store" / "set", texts, features), task="regression")
    assert 9 in rows_of(found, "wrong_label")
    assert rows_of(found, "contradiction") == []
    assert rows_of(found, "same_text") == [100]


def test_the_findings_are_written(world, tmp_path):
    train, _, table = world[:3]
    found = audit(train, table, output=tmp_path / "found.parquet")
    assert pq.read_table(tmp_path / "found.parquet").equals(found.table)
    with pytest.raises(enc.EncError, match="already"):
        audit(train, table, output=tmp_path / "found.parquet")
    with pytest.raises(enc.EncError, match="input itself"):
        audit(train, table, output=train.paths[0], overwrite=True)


def test_a_query_is_read_once(world):
    train, _, table = world[:3]
    query = enc.Source(train.paths, query=f"SELECT * FROM '{train.paths[0]}' ORDER BY random()")
    found = audit(query, table, similarity=None)
    assert len(rows_of(found, "same_text")) == 2
    for row in found.table_of("contradiction").to_pylist():
        assert row["source"] == "the query"
        assert row["text"] == "text 69"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": 1.5}, "--similarity must be a cosine from -1 to 1"),
        ({"folds": 1}, "the number of folds"),
        ({"folds": 1000}, "1000 folds need as many distinct texts"),
        ({"label_column": "stars"}, "column 'stars' is not in"),
    ],
)
def test_options_that_cannot_be(world, options, message):
    train, _, table = world[:3]
    with pytest.raises(enc.EncError, match=message):
        audit(train, table, **options)


def test_texts_without_features_are_told(world, tmp_path):
    other = enc.Source(written(tmp_path / "o.parquet", text=["new", "newer"], label=[True, False]))
    with pytest.raises(enc.EncError, match=r"2 texts .* have no features yet"):
        audit(other, world.table)


def test_features_of_tokens_have_no_one_vector(world, tmp_path):
    from fakes import FakeEncoder

    texts = ["a b", "b c", "c", "d e f"] * 3
    labels = [True, False, True, False] * 3
    source = enc.Source(written(tmp_path / "t.parquet", text=texts, label=labels))
    enc.build_features(source, tmp_path / "tokens", FakeEncoder(pooling=("tokens",)), name="set")
    with pytest.raises(enc.EncError, match="vector for each token"):
        audit(source, tmp_path / "tokens" / "set")
