"""Features in a caller's order: of a source's rows, and of texts in memory."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, encode_texts
from enc.store import MissingFeatures, Source, SourceError, SpecError, Store
from fakes import TEXTS, FakeEncoder

ROWS = [*TEXTS[:9], None, TEXTS[3], " ", *TEXTS[9:14]]
USABLE = np.array([bool(text and text.strip()) for text in ROWS])


@pytest.fixture
def path(tmp_path):
    pq.write_table(pa.table({"id": range(len(ROWS)), "text": ROWS}), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


@pytest.fixture
def store(path, tmp_path):
    build_features(Source(path), tmp_path / "store", FakeEncoder(), name="set")
    return Store(tmp_path / "store")


def encoded(texts):
    """Features of texts, NaN where there is none."""
    usable = [text for text in texts if text and text.strip()]
    values = iter(encode_texts(FakeEncoder(), usable))
    return np.stack([next(values) if t and t.strip() else np.full(4, np.nan, np.float32) for t in texts])


def test_rows_are_in_the_order_of_the_source(store, path):
    rows, expected = store.features(path), encoded(ROWS)
    assert (rows.shape, rows.dtype, len(rows)) == ((len(ROWS), 4), np.float32, len(ROWS))
    np.testing.assert_array_equal(np.asarray(rows), expected)
    assert rows.without_text.tolist() == np.flatnonzero(~USABLE).tolist()
    assert rows.has_features.tolist() == USABLE.tolist()
    assert rows.missing.tolist() == []
    assert "2 rows without features" in repr(rows)


@pytest.mark.parametrize(
    "chosen",
    [
        0,
        -1,
        np.int64(3),
        slice(8, 12),
        slice(None, None, -3),
        [3, 3, 0],
        [],
        np.array([9, 1]),
        USABLE,
        ~USABLE,
    ],
    ids=str,
)
def test_what_is_chosen_is_as_of_an_array(store, path, chosen):
    expected = encoded(ROWS)[chosen if not isinstance(chosen, list) else np.array(chosen, int)]
    np.testing.assert_array_equal(store.features(path)[chosen], expected)


def test_positions_that_are_not_there(store, path):
    rows = store.features(path)
    for chosen in (len(ROWS), -len(ROWS) - 1, [99]):
        with pytest.raises(IndexError):
            rows[chosen]
    with pytest.raises(TypeError):
        rows["text"]
    with pytest.raises(ValueError, match="leave out copy=False"):
        np.asarray(rows, copy=False)


def test_blocks_and_iteration(store, path):
    rows, expected = store.features(path), encoded(ROWS)
    assert [len(block) for block in rows.blocks(7)] == [7, 7, 3]
    np.testing.assert_array_equal(np.concatenate(list(rows.blocks(7))), expected)
    np.testing.assert_array_equal(np.stack(list(rows)), expected)
    assert np.asarray(rows, dtype=np.float64).dtype == np.float64


def test_arrow_has_nulls(store, path):
    found = store.features(path).as_arrow()
    assert found.type == pa.list_(pa.field("element", pa.float32(), nullable=False), 4)
    values = [
        row if is_usable else None for row, is_usable in zip(encoded(ROWS).tolist(), USABLE, strict=True)
    ]
    assert found.to_pylist() == values
    assert len(store.open().lookup([]).as_arrow()) == 0


def test_conditions_queries_parts_and_pairs(store, path, tmp_path):
    odd = encoded(ROWS)[1::2]
    for source in (
        Source(path, where="id % 2 = 1"),
        Source(path, query=f"SELECT text FROM '{path}' WHERE id % 2 = 1 ORDER BY id"),
    ):
        rows = store.features(source)
        np.testing.assert_array_equal(np.asarray(rows), odd)
        assert rows.without_text.tolist() == [4, 5]
    encoder = FakeEncoder(layers=(1, 2), pooling=("mean", "cls"))
    build_features(Source(path), store, encoder, name="parts")
    part = encode_texts(FakeEncoder(layers=(2,), pooling=("cls",)), [ROWS[0]])
    np.testing.assert_array_equal(store.features(path, "parts", use="layers=2,pooling=cls")[:1], part)
    with pytest.raises(SpecError, match="there is no layer 3"):
        store.features(path, "parts", use="layers=3")
    pq.write_table(pa.table({"a": ["x", "y"], "b": ["yy", ""]}), tmp_path / "pairs.parquet")
    pairs = Source(tmp_path / "pairs.parquet", text_column="a", pair_column="b")
    build_features(pairs, store, FakeEncoder(), name="set")
    named = store.features(tmp_path / "pairs.parquet", "set", text_column="a", pair_column="b")
    np.testing.assert_array_equal(np.asarray(named), np.asarray(store.features(pairs, "set")))
    found = store.open("set").lookup(["y", "x", "x"], ["", "yy", "zz"])
    assert found.has_features.tolist() == [True, True, False]
    np.testing.assert_array_equal(found[:2], np.asarray(named)[::-1])


def test_missing_texts_are_an_error_of_a_source_and_told_of_texts(store, path, tmp_path):
    pq.write_table(pa.table({"text": ["new", ROWS[0], "newer"]}), tmp_path / "new.parquet")
    with pytest.raises(MissingFeatures, match=r"2 texts of .*new\.parquet have no features yet"):
        store.features(tmp_path / "new.parquet")
    with pytest.raises(
        MissingFeatures, match="2 rows of the table have texts that feature set 'set' does not"
    ):
        store.features(pq.read_table(tmp_path / "new.parquet"))
    rows = store.open().lookup(["new", ROWS[0], None, "newer", ""])
    assert rows.has_features.tolist() == [False, True, False, False, False]
    assert rows.missing.tolist() == [0, 3]
    assert rows.without_text.tolist() == [2, 4]
    assert np.isnan(rows[0]).all()


TEXTS_OF = {
    "list": list,
    "iterator": iter,
    "tuple": tuple,
    "numpy": np.array,
    "numpy objects": lambda texts: np.array(texts, object),
    "arrow": pa.array,
    "large": lambda texts: pa.array(texts, pa.large_string()),
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "chunks": lambda texts: pa.chunked_array([texts[:2], texts[2:]]),
    "table": lambda texts: pa.table({"n": range(len(texts)), "text": texts}),
}


@pytest.mark.parametrize("kind", TEXTS_OF)
def test_texts_in_memory(store, kind):
    texts = TEXTS[5:9]
    rows = store.open().lookup(TEXTS_OF[kind](texts))
    np.testing.assert_array_equal(np.asarray(rows), encoded(texts))


def test_pandas(store):
    pandas = pytest.importorskip("pandas", reason="pandas is an extra and not installed")
    frame = pandas.DataFrame({"text": ROWS, "n": range(len(ROWS))}, index=range(7, 7 + len(ROWS)))
    table = store.open()
    for rows in (table.lookup(frame), table.lookup(frame["text"]), store.features(frame)):
        np.testing.assert_array_equal(np.asarray(rows), encoded(ROWS))
        assert rows.without_text.tolist() == np.flatnonzero(~USABLE).tolist()
    objects = table.lookup(pandas.Series(ROWS, dtype=object).where(USABLE, float("nan")))
    np.testing.assert_array_equal(np.asarray(objects), encoded(ROWS))
    series = store.features(frame).as_arrow().to_pandas()
    assert [value is not None for value in series] == USABLE.tolist()
    np.testing.assert_array_equal(series[0], encoded(ROWS)[0])


def test_polars(store):
    polars = pytest.importorskip("polars", reason="polars is an extra and not installed")
    frame, table = polars.DataFrame({"text": ROWS}), store.open()
    for rows in (table.lookup(frame), table.lookup(frame["text"]), store.features(frame)):
        np.testing.assert_array_equal(np.asarray(rows), encoded(ROWS))
    assert polars.from_arrow(store.features(frame).as_arrow()).null_count() == 2


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [
        ("one text", None, "not one text; write"),
        ([1, 2], None, "texts are of type int64"),
        (["a", 1], None, "texts are no list of texts"),
        (7, None, "texts are no list of texts"),
        (["\ud800"], None, "texts are no list of texts"),
        (["a"], ["b", "c"], "there are 1 texts and 2 second texts"),
        (["a"], "b", "pairs are a list"),
        (pa.table({"a": ["x"]}), None, "which column of the table is the text"),
    ],
)
def test_what_are_no_texts(store, texts, pairs, message):
    with pytest.raises(SourceError, match=message):
        store.open().lookup(texts, pairs)


def test_a_list_of_texts_loads_no_other_library(store):
    before = {*sys.modules}
    store.open().lookup(TEXTS[:2])
    assert not ({*sys.modules} - before) & {"torch", "polars"}


def test_pairs_that_are_encoded_apart_are_refused(tmp_path, store):
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), tmp_path / "pairs.parquet")
    source = Source(tmp_path / "pairs.parquet", text_column="a", pair_column="b", pairs="separate")
    with pytest.raises(SourceError, match="one column at a time: 'a', then 'b'"):
        store.features(source)
