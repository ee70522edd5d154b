import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, encode_texts, write_features
from enc.engine.features_out import outputs, run
from enc.store import FeatureTable, MissingFeatures, Source, SourceError, Store
from fakes import TEXTS, FakeEncoder

ROWS = [*TEXTS[:20], None, *TEXTS[:5], "  ", *TEXTS[20:40]]
USABLE = [bool(text and text.strip()) for text in ROWS]
FORMATS = ("parquet", "arrow", "npy", "npz")


@pytest.fixture
def path(tmp_path):
    """Texts, two of them unusable and some of them twice, beside columns of several types."""
    table = pa.table(
        {
            "id": pa.array(range(len(ROWS)), pa.uint16()),
            "text": ROWS,
            "tags": pa.array([["a", None]] * len(ROWS)),
            "group": pa.array([f"g{i % 7}" for i in range(len(ROWS))]).dictionary_encode(),
        }
    ).replace_schema_metadata({"origin": "test"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=10)
    return tmp_path / "in.parquet"


@pytest.fixture
def build(path, tmp_path):
    def build(source=None, **changes) -> FeatureTable:
        build_features(source or Source(path), tmp_path / "store", FakeEncoder(**changes), name="set")
        return Store(tmp_path / "store").open("set")

    return build


@pytest.fixture(params=[None, 8])
def batch_rows(request, monkeypatch):
    """Batches of a few rows, too."""
    if request.param:
        monkeypatch.setattr(outputs, "BATCH_ROWS", request.param)


def read(file):
    """Columns of a table by name; features as an array with nulls as NaN."""
    file = str(file)
    if file.endswith(".parquet"):
        return pq.read_table(file)
    return pa.ipc.open_file(file).read_all()


def expected(**changes):
    """The features of the usable rows."""
    usable = [text for text, is_usable in zip(ROWS, USABLE, strict=True) if is_usable]
    return encode_texts(FakeEncoder(**changes), usable)


@pytest.mark.parametrize("format", ["parquet", "arrow"])
@pytest.mark.usefixtures("batch_rows")
def test_a_table_has_all_rows_and_columns_in_their_order(path, build, tmp_path, format):
    out = tmp_path / f"out.{format}"
    summary = write_features(path, out, build(dtype="float16"))
    table, given = read(out), pq.read_table(path)
    assert table.column_names == [*given.column_names, "features"]
    plain = given if format == "parquet" else given.set_column(3, "group", given["group"].cast(pa.string()))
    assert table.select(given.column_names).equals(plain)
    assert table.schema.metadata[b"origin"] == b"test"
    features = table.column("features")
    assert features.type == pa.list_(pa.field("element", pa.float16(), nullable=False), 4)
    assert [row is not None for row in features.to_pylist()] == USABLE
    assert [row for row in features.to_pylist() if row] == expected(dtype="float16").tolist()
    assert json.loads(table.field("features").metadata[b"shape"]) == [4]
    assert (summary.rows, summary.with_features, summary.rejected) == (len(ROWS), sum(USABLE), 2)
    assert (summary.encoded, summary.cached) == (0, 40)
    rejects = pq.read_table(summary.rejects_file)
    assert rejects.column("row").to_pylist() == [n + 1 for n, is_usable in enumerate(USABLE) if not is_usable]


@pytest.mark.parametrize("format", ["npy", "npz"])
@pytest.mark.usefixtures("batch_rows")
def test_an_array_leaves_out_rows_and_lists_the_others(path, build, tmp_path, format):
    out = tmp_path / f"out.{format}"
    summary = write_features(path, out, build(), dtype="float16")
    found = np.load(out)
    features, rows = found, tmp_path / "out.rows.npy"
    if format == "npz":
        features, rows = found["features"], found["rows"]
        assert summary.rows_file is None
    else:
        assert summary.rows_file == str(rows)
        rows = np.load(rows)
    assert features.dtype == np.float16
    np.testing.assert_array_equal(features, expected())
    assert rows.tolist() == np.flatnonzero(USABLE).tolist()
    assert (summary.rows, summary.with_features) == (len(ROWS), sum(USABLE))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.usefixtures("batch_rows")
def test_features_of_tokens(path, build, tmp_path, format):
    out = tmp_path / f"out.{format}"
    summary = write_features(path, out, build(pooling=("tokens",)), columns=[])
    assert summary.shape == [8, 4]
    if format in ("npy", "npz"):
        found = np.load(out)
        features = found if format == "npy" else found["features"]
    else:
        table = read(out)
        assert table.column_names == ["features"]
        shape = json.loads(table.field("features").metadata[b"shape"])
        rows = table.column("features").drop_null()
        features = np.array(rows.to_pylist()).reshape(-1, *shape)
    np.testing.assert_array_equal(features, expected(pooling=("tokens",)))


def test_parts_of_features(path, build, tmp_path):
    table = build(layers=(1, 2), pooling=("mean", "cls"))
    write_features(path, tmp_path / "out.npy", table, use="layers=2,pooling=cls")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(layers=(2,), pooling=("cls",)))


def test_a_column_for_each_number(path, build, tmp_path):
    write_features(path, tmp_path / "out.parquet", build(dtype="float16"), layout="columns", columns=["id"])
    table = read(tmp_path / "out.parquet")
    assert table.column_names == ["id", *(f"features_{i}" for i in range(4))]
    assert set(table.schema.types[1:]) == {pa.float32()}
    found = np.stack([column.drop_null().to_numpy() for column in table.columns[1:]], axis=1)
    np.testing.assert_array_equal(found, expected())


@pytest.mark.parametrize("format", FORMATS)
def test_a_condition_and_a_query_choose_rows(path, build, tmp_path, format):
    table = build()
    odd = [n for n in range(len(ROWS)) if n % 2]
    sources = (
        Source(path, where="id % 2 = 1"),
        Source(path, query=f"SELECT id, text FROM '{path}' WHERE id % 2 = 1 ORDER BY id"),
    )
    for source in sources:
        out = tmp_path / f"out.{format}"
        write_features(source, out, table, overwrite=True)
        if format in ("npy", "npz"):
            rows = np.load(tmp_path / "out.rows.npy") if format == "npy" else np.load(out)["rows"]
            assert rows.tolist() == [place for place, n in enumerate(odd) if USABLE[n]]
        else:
            assert read(out).column("id").to_pylist() == odd


def test_text_files_lose_lines_that_do_not_parse(write, build, tmp_path):
    path = write("t.tsv", "text\tn\nx x\t1\nbroken\ny\t2\n\t3\n")
    summary = write_features(Source(path), tmp_path / "out.parquet", build(Source(path)))
    rows = read(tmp_path / "out.parquet").to_pylist()
    assert [row["n"] for row in rows] == ["1", "2", "3"]
    assert [row["features"] for row in rows] == [[2, 2, 1, 1], [1, 1, 1, 1], None]
    assert (summary.rows, summary.rejected) == (3, 2)


@pytest.mark.parametrize("columns", [None, []])
def test_several_files_to_one_or_each_to_its_own(path, build, write, tmp_path, columns):
    table = build()
    pq.write_table(pq.read_table(path).slice(5, 20), tmp_path / "other.parquet")
    files = [str(path), str(tmp_path / "other.parquet")]
    write_features(files, tmp_path / "all.parquet", table, columns=columns)
    write_features(files, f"{tmp_path}/each/", table, columns=columns)
    whole = read(tmp_path / "all.parquet")
    assert whole.num_rows == len(ROWS) + 20
    assert read(tmp_path / "each" / "in.parquet").equals(whole.slice(0, len(ROWS)))
    assert read(tmp_path / "each" / "other.parquet").equals(whole.slice(len(ROWS)))


@pytest.mark.parametrize("format", FORMATS)
def test_texts_that_are_not_in_the_store(path, build, tmp_path, format):
    table, out = build(Source(path, where="id < 10")), tmp_path / f"out.{format}"
    with pytest.raises(MissingFeatures, match=r"30 texts of .*in\.parquet have no features.*add --build"):
        write_features(path, out, table)
    query = f"SELECT text FROM '{path}'"
    with pytest.raises(MissingFeatures, match=r"30 texts of the query .* --query"):
        write_features(Source(path, query=query), out, table)
    assert not out.exists()
    encoder = FakeEncoder()
    summary = write_features(path, out, table, load=lambda spec: encoder)
    assert (summary.cached, summary.encoded, encoder.encoded) == (10, 30, 30)

    def no_encoder(spec):
        raise AssertionError("everything is in the store")

    again = write_features(path, out, table, overwrite=True, load=no_encoder)
    assert (again.cached, again.encoded) == (40, 0)


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows(write, build, tmp_path, format):
    table = build()
    path = write("empty.tsv", "text\tn\n")
    summary = write_features(Source(path), tmp_path / f"out.{format}", table)
    assert (summary.rows, summary.with_features) == (0, 0)
    if format == "npy":
        assert np.load(tmp_path / "out.npy").shape == (0, 4)
    elif format == "npz":
        assert np.load(tmp_path / "out.npz")["features"].shape == (0, 4)
    else:
        assert read(tmp_path / f"out.{format}").num_rows == 0


@pytest.mark.parametrize("format", FORMATS)
def test_an_output_appears_whole_or_not_at_all(path, build, tmp_path, format, monkeypatch):
    table, out = build(), tmp_path / f"out.{format}"
    write_features(path, out, table)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("out*")}
    monkeypatch.setattr(outputs, "BATCH_ROWS", 8)
    calls = []

    def broken(self, locations):
        calls.append(locations)
        if len(calls) > 2:
            raise SourceError("broken")
        return np.zeros((len(locations), 4), np.float32)

    monkeypatch.setattr(outputs.MappedFeatures, "take", broken)
    with pytest.raises(SourceError, match="broken"):
        write_features(path, out, table, overwrite=True)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("out*")} == before
    assert not list(tmp_path.glob(".*"))


def test_an_input_that_changes_is_refused(path, build, tmp_path, monkeypatch):
    table, locate = build(), run.Located

    def then_changed(*arguments, **options):
        located = locate(*arguments, **options)
        pq.write_table(pq.read_table(path).slice(1), path)
        return located

    monkeypatch.setattr(run, "Located", then_changed)
    with pytest.raises(SourceError, match="changed while it was read"):
        write_features(path, tmp_path / "out.parquet", table)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_an_input_that_changes_before_it_is_encoded_is_refused(path, tmp_path, monkeypatch, format):
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"text": ["another one"]}), other)
    build_features(Source(other), tmp_path / "store", FakeEncoder(), name="set")
    find_missing = run.find_missing

    def then_changed(*arguments):
        work = find_missing(*arguments)
        texts = [text and text + " more" for text in ROWS]
        pq.write_table(pq.read_table(path).set_column(1, "text", [texts]), path)
        return work

    monkeypatch.setattr(run, "find_missing", then_changed)
    with pytest.raises(SourceError, match="changed while it was read"):
        write_features(
            path, tmp_path / f"out.{format}", tmp_path / "store" / "set", load=lambda _: FakeEncoder()
        )
    assert not (tmp_path / f"out.{format}").exists()


@pytest.mark.parametrize("load", [None, lambda _: FakeEncoder()])
def test_pairs_that_are_encoded_apart_have_no_features_of_their_own(path, build, tmp_path, load):
    table, pairs = build(), tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), pairs)
    source = Source(pairs, text_column="a", pair_column="b", pairs="separate")
    with pytest.raises(SourceError, match=r"encoded apart.*one column at a time: 'a', then 'b'"):
        write_features(source, tmp_path / "out.npy", table, load=load)
    assert table.refresh().rows == len(set(TEXTS[:40]))


def test_mistakes_are_told_before_anything_is_read(path, build, write, tmp_path, monkeypatch):
    table = build()
    clash = write("clash.tsv", "text\tfeatures\nx\t1\n")
    monkeypatch.setattr(run, "Located", None)
    cases = [
        (Source(clash), "out.parquet", {}, "'.*clash.tsv' already has a column 'features'"),
        (path, "out.parquet", {"columns": ["x"]}, "column 'x' is not in .*in.parquet"),
        (path, "out.npy", {"columns": ["id"]}, "holds numbers alone"),
        (path, "out.txt", {}, "cannot tell the format"),
        (path, "in.parquet", {}, "the input itself"),
        (Source(path, text_column="x"), "out.npy", {}, "column 'x' is not in"),
        (tmp_path / "none.parquet", "out.npy", {}, "no file"),
    ]
    for source, output, options, message in cases:
        with pytest.raises(SourceError, match=message):
            write_features(source, tmp_path / output, table, **options)
    (tmp_path / "out.rows.npy").write_bytes(b"")
    with pytest.raises(SourceError, match=r"out\.rows\.npy' is there already; pass --overwrite"):
        write_features(path, tmp_path / "out.npy", table)
    with pytest.raises(SourceError, match=r"bad\.parquet is no Parquet file"):
        write_features(write("bad.parquet", "not Parquet"), tmp_path / "out.parquet", table)


def test_the_clash_is_none_with_a_prefix(write, build, tmp_path):
    path = write("clash.tsv", "text\tfeatures\nx\t1\n")
    write_features(Source(path), tmp_path / "out.parquet", build(Source(path)), column_prefix="enc_")
    assert read(tmp_path / "out.parquet").to_pylist() == [
        {"text": "x", "features": "1", "enc_features": [1.0, 1.0, 1.0, 1.0]}
    ]
