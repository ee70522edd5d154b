import csv
from typing import NamedTuple

import enc
import numpy as np
import pyarrow.parquet as pq
import pytest
from audited import stored, two_classes, written
from enc.engine.audit.to_label import closest, margins_of
from enc.engine.heads.tasks import MULTI_LABEL

LABELLED, POOL = 60, 200


class World(NamedTuple):
    head: enc.Head
    train: enc.Source
    pool: enc.Source
    store: enc.Store
    texts: list[str]
    margins: np.ndarray


@pytest.fixture
def world(tmp_path):
    """A head of some labelled rows, and a pool of others: some are labelled already, and some come twice."""
    labels, features = two_classes(LABELLED + POOL)
    texts = [f"text {number}" for number in range(LABELLED + POOL)]
    table = stored(tmp_path / "store" / "set", texts, features)
    named = ["好" if label else "坏" for label in labels]
    train = enc.Source(written(tmp_path / "train.parquet", sentence=texts[:LABELLED], stars=named[:LABELLED]))
    head = enc.search_path(
        train, table, valid=enc.Fraction(0.2), label_column="stars", config=enc.SolveConfig(l2=[0.1])
    ).head
    outputs = head.outputs(features[LABELLED:])
    pool = written(tmp_path / "pool.parquet", id=range(LABELLED, LABELLED + POOL), body=texts[LABELLED:])
    source = enc.Source(pool, text_column="body")
    return World(head, train, source, enc.Store(tmp_path / "store"), texts, margins_of(head, outputs))


def chosen(world, tmp_path, **options):
    output = tmp_path / "next.parquet"
    found = enc.next_to_label(
        world.pool, output, world.head, world.store, **{"count": 5, "overwrite": True, **options}
    )
    return found, pq.read_table(output)


def test_rows_are_sampled_among_the_closest(world, tmp_path):
    found, rows = chosen(world, tmp_path, pool=4, columns=["id"])
    numbers = np.array(rows["id"].to_pylist()) - LABELLED
    assert set(numbers) <= set(np.argsort(world.margins)[:20])
    assert np.allclose(rows["margin"], world.margins[numbers], atol=1e-5)
    assert rows["margin"].to_pylist() == sorted(rows["margin"].to_pylist())
    assert rows.column_names == ["sentence", "stars", "prediction", "score", "margin", "id"]
    assert rows["sentence"].to_pylist() == [world.texts[LABELLED + number] for number in numbers]
    assert rows["stars"].null_count == 5
    assert (found.chosen, found.candidates, found.rows) == (5, POOL, POOL)
    assert found.encoded == 0
    assert found.margins[0] == pytest.approx(world.margins[numbers].min(), abs=1e-5)


def test_a_pool_of_one_are_the_closest(world, tmp_path):
    _, rows = chosen(world, tmp_path, pool=1)
    assert np.allclose(rows["margin"], np.sort(world.margins)[:5], atol=1e-5)


def test_the_seed_decides(world, tmp_path):
    one, again, other = (chosen(world, tmp_path, seed=seed)[1] for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


def test_labelled_texts_are_left_out(world, tmp_path):
    texts = world.texts[LABELLED - 10 :] + world.texts[-5:]  # ten of training, and five that come twice
    pool = enc.Source(written(tmp_path / "more.parquet", body=texts), text_column="body")
    found, _ = chosen(world._replace(pool=pool), tmp_path)
    assert (found.labelled, found.candidates) == (10, POOL)
    assert found.labelled_sources == [str(world.train.paths[0])]
    found, _ = chosen(world._replace(pool=pool), tmp_path, labelled=[])
    assert (found.labelled, found.candidates) == (0, POOL + 10)
    half = written(
        tmp_path / "half.parquet", sentence=world.texts[-20:], stars=["好"] * 8 + [None] * 12
    )  # a file that is filled in by half
    found, _ = chosen(world._replace(pool=pool), tmp_path, labelled=[enc.Source(half)])
    assert (found.labelled, found.candidates) == (8, POOL + 2)


def test_rows_of_the_source_that_have_a_label_are_left_out(world, tmp_path):
    stars = ["好"] * 150 + [None] * 50
    pool = enc.Source(written(tmp_path / "p.parquet", sentence=world.texts[LABELLED:], stars=stars))
    found, rows = chosen(world._replace(pool=pool), tmp_path, count=100)
    assert (found.labelled, found.candidates, found.chosen) == (150, 50, 50)
    assert set(rows["sentence"].to_pylist()) == set(world.texts[-50:])


@pytest.mark.parametrize("ending", ["tsv", "csv", "parquet"])
def test_a_sheet_that_was_filled_in_is_trained_on(world, tmp_path, ending):
    output = tmp_path / f"sheet.{ending}"
    enc.next_to_label(world.pool, output, world.head, world.store, count=30)
    train = [world.train.paths[0], output]
    options = {"valid": enc.Fraction(0.2), "label_column": "stars"}
    table = world.store.open()
    data = enc.load_examples(enc.Source(train), table, **options)
    assert data.train.summary.rows + data.valid.summary.rows == LABELLED
    assert data.train.summary.unlabelled + data.valid.summary.unlabelled == 30
    if ending == "parquet":
        rows = pq.read_table(output)
        pq.write_table(rows.set_column(1, "stars", rows["prediction"]), output)
    else:
        delimiter = "\t" if ending == "tsv" else ","
        with open(output, newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file, delimiter=delimiter)
        with open(output, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(
                [names, *([text, guess, guess, *others] for text, _, guess, *others in rows)]
            )
    data = enc.load_examples(enc.Source(train), table, **options)
    assert data.train.summary.rows + data.valid.summary.rows == LABELLED + 30


def test_a_query_is_a_source_too(world, tmp_path):
    pool = enc.Source(
        world.pool.paths, text_column="body", query=f"SELECT * FROM '{world.pool.paths[0]}' ORDER BY random()"
    )
    found, rows = chosen(world._replace(pool=pool), tmp_path)
    assert found.candidates == POOL
    assert set(rows["sentence"].to_pylist()) <= set(world.texts[LABELLED:])


def test_closest_are_all_rows_where_they_are_few():
    assert closest(np.array([0.3, 0.1, 0.2], np.float32), 9, 10, 0).tolist() == [1, 2, 0]


def test_the_margin_of_several_labels_is_that_of_the_least_sure(world):
    head = world.head.replace(task=MULTI_LABEL)
    outputs = np.array([[0.9, 0.4], [0.5, 0.0]], np.float32)
    assert np.allclose(margins_of(head, outputs), [0.2, 0.0])


def test_texts_that_tsv_cannot_hold_are_refused(world, tmp_path):
    features = two_classes(30, seed=3)[1]
    texts = [f"a\ttab {number}" for number in range(30)]
    store = enc.Store(tmp_path / "other")
    stored(tmp_path / "other" / "set", texts, features)
    pool = enc.Source(written(tmp_path / "tabs.parquet", body=texts), text_column="body")
    with pytest.raises(enc.EncError, match="no TSV holds"):
        enc.next_to_label(pool, tmp_path / "n.tsv", world.head, store, count=3)
    assert not (tmp_path / "n.tsv").exists()
    enc.next_to_label(pool, tmp_path / "n.csv", world.head, store, count=3)
    with open(tmp_path / "n.csv", newline="", encoding="utf-8") as file:
        assert {row["sentence"] for row in csv.DictReader(file)} <= set(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "--count must be a whole number"),
        ({"pool": 0}, "--pool must be"),
        ({"columns": ["date"]}, "column 'date' is not in"),
        ({"columns": ["body"], "labelled": [enc.Source("nowhere.tsv")]}, "no file 'nowhere.tsv'"),
    ],
)
def test_options_that_cannot_be(world, tmp_path, options, message):
    with pytest.raises(enc.EncError, match=message):
        chosen(world, tmp_path, **options)


def test_outputs_that_cannot_be(world, tmp_path):
    arguments = world.head, world.store
    with pytest.raises(enc.EncError, match="must end with"):
        enc.next_to_label(world.pool, tmp_path / "x.xlsx", *arguments, count=3)
    with pytest.raises(enc.EncError, match="input itself"):
        enc.next_to_label(world.pool, world.pool.paths[0], *arguments, count=3, overwrite=True)
    with pytest.raises(enc.EncError, match="input itself"):
        enc.next_to_label(world.pool, world.train.paths[0], *arguments, count=3, overwrite=True)
    with pytest.raises(enc.EncError, match="two columns 'score'"):
        written(tmp_path / "s.parquet", body=world.texts[LABELLED:], score=range(POOL))
        pool = enc.Source(tmp_path / "s.parquet", text_column="body")
        enc.next_to_label(pool, tmp_path / "n.csv", *arguments, count=3, columns=["score"])


def test_nothing_left_to_label_is_told(world, tmp_path):
    with pytest.raises(enc.EncError, match=r"no row of .* is left to label"):
        chosen(world._replace(pool=world.train), tmp_path)


def test_a_regression_is_refused(tmp_path):
    _, features = two_classes(40)
    texts = [f"text {number}" for number in range(40)]
    source = enc.Source(written(tmp_path / "t.parquet", text=texts, label=features[:, 0]))
    table = stored(tmp_path / "store" / "set", texts, features)
    head = enc.search_path(source, table, valid=enc.Fraction(0.2), task="regression").head
    with pytest.raises(enc.EncError, match="a regression has no margin"):
        enc.next_to_label(source, tmp_path / "n.csv", head, tmp_path / "store", count=3)
