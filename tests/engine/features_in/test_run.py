"""Vectors and texts become a feature set, whole or not at all, and what contradicts itself is refused."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc import import_features
from enc.engine import build_features, score_parquet, train_head
from enc.engine.features_in import checks
from enc.store import (
    FeatureTable,
    MissingFeatures,
    Source,
    SourceError,
    SpecError,
    Store,
    StoreError,
    whole_writer,
    writer,
)
from enc.store.progress import heard_by
from fakes import FakeEncoder, Heard

TEXTS = [f"text {number}" for number in range(40)]
VECTORS = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)


def file_of(write, texts=TEXTS):
    lines = [f"{text}\t{'ab'[number % 2]}" for number, text in enumerate(texts)]
    return write("texts.tsv", "text\tlabel\n" + "\n".join(lines) + "\n")


def saved(path, vectors):
    np.save(path, vectors)
    return path


def parquet(path, vectors, kind=None, **columns):
    pq.write_table(pa.table({"vector": pa.array(vectors, kind or pa.list_(pa.float32())), **columns}), path)
    return path


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def stored(store, texts=TEXTS, name="m"):
    return np.asarray(FeatureTable(store / name).lookup(texts))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_vectors_of_a_file(write, tmp_path, store, dtype, kind):
    given = VECTORS.astype(dtype)
    if kind == "npy":
        path = saved(tmp_path / "v.npy", given)
    else:
        number = pa.from_numpy_dtype(given.dtype.newbyteorder("="))
        path = parquet(
            tmp_path / "v.parquet", list(given.astype(given.dtype.newbyteorder("="))), pa.list_(number, 6)
        )
    summary = import_features(path, file_of(write), store, model="m")
    assert (summary.rows, summary.distinct, summary.known, summary.imported) == (40, 40, 0, 40)
    assert summary.dtype == ("float16" if dtype == "<f2" else "float32")
    np.testing.assert_array_equal(stored(store), given.astype(summary.dtype))
    again = import_features(path, file_of(write), store, model="m")
    assert (again.known, again.imported, again.version) == (40, 0, summary.version)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 6)]
)
def test_texts_and_vectors_of_one_parquet_file(tmp_path, store, kind):
    vectors = [*VECTORS.astype(np.float16).tolist()]
    vectors[3] = None
    texts = [*TEXTS]
    texts[3] = None
    path = parquet(tmp_path / "v.parquet", vectors, kind, text=texts)
    summary = import_features(path, path, store, model="m")
    assert (summary.imported, summary.rejected, summary.rejects) == (39, 1, {"text is null": 1})
    found = stored(store, texts)
    assert np.isnan(found).all(1).tolist() == [row == 3 for row in range(40)]
    np.testing.assert_array_equal(found[4:], VECTORS[4:].astype(np.float16))


@pytest.mark.parametrize(
    ("vectors", "texts"),
    [
        (VECTORS, TEXTS),
        (VECTORS.tolist(), pd.Series(TEXTS)),
        (np.asfortranarray(VECTORS), pa.table({"text": TEXTS})),
        (pd.DataFrame(VECTORS), pd.DataFrame({"text": TEXTS})),
    ],
    ids=["array", "list", "Fortran", "frame"],
)
def test_vectors_and_texts_in_memory(store, vectors, texts):
    import_features(vectors, texts, store, model="m", dtype="float32")
    np.testing.assert_array_equal(stored(store), VECTORS)


def test_polars(store):
    polars = pytest.importorskip("polars", reason="polars is not needed, and may not be installed")
    frame = polars.DataFrame({"text": TEXTS})
    import_features(polars.DataFrame(VECTORS), frame, store, model="m")
    np.testing.assert_array_equal(stored(store), VECTORS)


def test_a_set_grows_by_vectors_of_its_model(store):
    import_features(VECTORS[:20], TEXTS[:20], store, model="m", pooling="mean", max_length=64, prefix="q: ")
    summary = import_features(VECTORS[10:], TEXTS[10:], store, model="m")  # the rest is the set's
    assert (summary.known, summary.imported) == (10, 20)
    np.testing.assert_array_equal(stored(store), VECTORS)
    spec = FeatureTable(store / "m").spec
    assert (spec.imported, spec.pooling, spec.max_length, spec.prefix) == ("m", ("mean",), 64, "q: ")


def test_the_same_text_twice(store):
    texts = [*TEXTS, *TEXTS[:7], "", *TEXTS[30:]]
    vectors = np.concatenate([VECTORS, VECTORS[:7] * (1 + 1e-5), VECTORS[:1] * np.nan, VECTORS[30:]])
    summary = import_features(vectors, texts, store, model="m")
    assert (summary.rows, summary.distinct, summary.imported, summary.rejected) == (58, 40, 40, 1)
    np.testing.assert_array_equal(stored(store), VECTORS)


def test_pairs(write, store):
    frame = pd.DataFrame({"a": ["x", "x", "y"], "b": ["y", "z", "x"]})
    import_features(VECTORS[:3], frame, store, model="m", text_column="a", pair_column="b")
    rows = FeatureTable(store / "m").lookup(frame, text_column="a", pair_column="b")
    np.testing.assert_array_equal(np.asarray(rows), VECTORS[:3])


def test_blocks_and_shards_are_of_many_rows(write, tmp_path, store, monkeypatch):
    monkeypatch.setattr(checks, "BLOCK_BYTES", 8 * 6 * 3)
    monkeypatch.setattr(writer, "SHARD_BYTES", 500)
    texts = [*TEXTS, *TEXTS[::3]]
    path = saved(tmp_path / "v.npy", np.concatenate([VECTORS, VECTORS[::3]]))
    heard = Heard()
    with heard_by(heard):
        summary = import_features(path, file_of(write, texts), store, model="m")
    table = FeatureTable(store / "m")
    assert (summary.imported, summary.version) == (40, 1)  # many shards, and one commit
    assert heard.of("checking") == [(min(done, 54), 54) for done in range(0, 57, 3)]
    assert heard.of("storing")[-1] == (40, 40)
    assert len(table.shards) > 4
    np.testing.assert_array_equal(stored(store), VECTORS)
    import_features(path, file_of(write, texts), store, model="m")
    changed = np.load(path)
    changed[-1] += 1
    with pytest.raises(StoreError, match=r"row 53 .*holds another vector"):
        import_features(saved(path, changed), file_of(write, texts), store, model="m")


def bad(change):
    vectors = VECTORS.copy()
    return change(vectors)


def with_value(row, value):
    def change(vectors):
        vectors[row, 2] = value
        return vectors

    return change


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.concatenate([VECTORS, VECTORS[:1]]), "41 rows, and the texts has 40: row 40 .* has no text"),
        (VECTORS[:-1], "39 rows, and the texts has 40: row 40 of the texts has no vector"),
        (bad(with_value(7, np.nan)), r"row 7 \(counted from 0\) .*text of row 8 .*: number 2 is nan; "),
        (bad(with_value(39, -np.inf)), r"row 39 .*: number 2 is -inf; vectors are of finite numbers"),
        (bad(lambda v: v.astype(np.float64) * 1e300), r"row 0 .*too large for float32; scale"),
        (VECTORS[:, 0], r"shape \[40\]"),
        (VECTORS[:, None], r"shape \[40, 1, 6\]"),
        (VECTORS[:, :0], r"shape \[40, 0\]"),
        (VECTORS.astype(int), "the numbers are int64"),
        (VECTORS.astype(object), "holds Python objects"),
        ([[1.0, 2.0], [3.0]], "no array of numbers"),
    ],
    ids=range(11),
)
def test_vectors_that_are_refused(store, vectors, message):
    with pytest.raises(SourceError, match=message):
        import_features(vectors, TEXTS, store, model="m")
    assert not store.exists()


def test_what_float16_cannot_hold(store):
    with pytest.raises(SourceError, match=r"row 5 .*number 2 is 70000, too large for float16; pass --dtype"):
        import_features(bad(with_value(5, 70000)), TEXTS, store, model="m", dtype="float16")
    assert not store.exists()


def test_different_vectors_of_one_text(write, tmp_path, store):
    texts = [*TEXTS, TEXTS[4]]
    vectors = np.concatenate([VECTORS, VECTORS[5:6]])
    message = r"rows 4 and 40 \(counted from 0\) of .* are different vectors of one text \(text of row 41 of"
    for given in (
        vectors,
        saved(tmp_path / "v.npy", vectors),
        parquet(tmp_path / "v.parquet", list(vectors)),
    ):
        with pytest.raises(SourceError, match=message):
            import_features(given, file_of(write, texts), store, model="m")
    assert not store.exists()


def test_another_vector_than_the_one_that_is_stored(store):
    import_features(VECTORS, TEXTS, store, model="m")
    changed = VECTORS.copy()
    changed[9] = VECTORS[8]
    new = np.concatenate([changed, VECTORS[:1] + 3])
    with pytest.raises(StoreError, match=r"row 9 .*: feature set 'm' holds another vector of this text"):
        import_features(new, [*TEXTS, "new"], store, model="m")
    assert FeatureTable(store / "m").rows == 40


def header(path, text):
    raw = text.encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw)
    return path


def npy_files(folder):
    good = saved(folder / "good.npy", VECTORS).read_bytes()
    np.save(folder / "objects.npy", np.array([VECTORS[0], None], object), allow_pickle=True)
    np.save(folder / "fortran.npy", np.asfortranarray(VECTORS))
    (folder / "short.npy").write_bytes(good[:-3])
    (folder / "long.npy").write_bytes(good + b"more")
    (folder / "text.npy").write_text("no array")
    (folder / "empty.npy").write_bytes(b"")
    np.savez(folder / "zip.npz", VECTORS)
    (folder / "zip.npz").rename(folder / "zip.npy")
    header(
        folder / "huge.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999)}\n"
    )
    header(folder / "negative.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}\n")
    header(folder / "code.npy", "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1, 1)}\n")
    np.save(folder / "ints.npy", VECTORS.astype(np.int8))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("objects", "pickled Python objects, which are never read"),
        ("fortran", "Fortran order"),
        ("short", "3 bytes fewer than its header says"),
        ("long", "4 bytes more than its header says"),
        ("text", "cannot be read as .npy"),
        ("empty", "cannot be read as .npy"),
        ("zip", "cannot be read as .npy"),
        ("huge", "bytes fewer than its header says"),
        ("negative", r"shape \[-1, -1\]"),
        ("code", "cannot be read as .npy"),
        ("ints", "the numbers are int8"),
        ("none", "no file"),
    ],
)
def test_npy_files_that_are_refused(write, tmp_path, store, name, message):
    npy_files(tmp_path)
    with pytest.raises(SourceError, match=message):
        import_features(tmp_path / f"{name}.npy", file_of(write), store, model="m")
    assert not store.exists()


LISTS = VECTORS.tolist()


@pytest.mark.parametrize(
    ("vectors", "kind", "message"),
    [
        ([*LISTS[:7], LISTS[7][:5], *LISTS[8:]], None, r"row 7 .* has 5 numbers, and row 0 has 6"),
        ([None, *LISTS[1:7], [], *LISTS[8:]], None, r"row 7 .* has 0 numbers, and row 1 has 6"),
        ([[], *LISTS[1:]], None, r"row 0 .*is an empty list"),
        ([*LISTS[:7], None, *LISTS[8:]], None, r"row 7 .*text of row 8 .*has a text and no vector"),
        ([*LISTS[:7], [*LISTS[7][:5], None], *LISTS[8:]], None, r"row 7 .*number 5 is null"),
        ([None] * 40, None, "has no vector in column 'vector'"),
        ([[int(x) for x in row] for row in LISTS], pa.list_(pa.int64()), "no column .* holds vectors"),
        (LISTS[:30], None, "30 rows, and .* has 40"),
    ],
    ids=range(8),
)
def test_parquet_files_that_are_refused(write, tmp_path, store, vectors, kind, message):
    path = parquet(tmp_path / "v.parquet", vectors, kind)
    with pytest.raises(SourceError, match=message):
        import_features(path, file_of(write), store, model="m")
    assert not store.exists()


def test_which_column_of_a_parquet_file(write, tmp_path, store):
    path = parquet(tmp_path / "v.parquet", LISTS, other=pa.array((VECTORS + 1).tolist()), number=range(40))
    texts = file_of(write)
    with pytest.raises(SourceError, match=r"which column of .* holds the vectors. vector, other"):
        import_features(path, texts, store, model="m")
    with pytest.raises(SourceError, match="column 'none' is not in"):
        import_features(path, texts, store, model="m", vector_column="none")
    with pytest.raises(SourceError, match=r"column 'number' of .* is int64"):
        import_features(path, texts, store, model="m", vector_column="number")
    import_features(path, texts, store, model="m", vector_column="other")
    np.testing.assert_array_equal(stored(store), (VECTORS + 1).astype(np.float64).astype(np.float32))


def test_files_that_are_no_vectors(write, tmp_path, store):
    texts = file_of(write)
    with pytest.raises(SourceError, match=r"no .npy or .parquet file"):
        import_features(texts, texts, store, model="m")
    broken = tmp_path / "v.parquet"
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match="was cut off"):
        import_features(broken, texts, store, model="m")


def test_a_line_that_does_not_parse_leaves_no_order(write, store):
    path = write("texts.tsv", "text\tlabel\na\t1\nbroken\nb\t2\n")
    with pytest.raises(SourceError, match=r"texts.tsv, row 2: line 3 is malformed.*cannot be told"):
        import_features(VECTORS[:3], path, store, model="m")


def test_conditions_and_other_ways_are_refused(write, store):
    path = file_of(write)
    for source in (Source(path, where="label = 'a'"), Source(path, query=f"SELECT * FROM '{path}'")):
        with pytest.raises(SourceError, match="rows of whole files"):
            import_features(VECTORS, source, store, model="m")
    apart = Source(path, text_column="text", pair_column="label", pairs="separate")
    with pytest.raises(SourceError, match="encoded apart"):
        import_features(VECTORS, apart, store, model="m")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(model="other", name="m"), SpecError, "holds vectors of 'm', not of 'other'"),
        (dict(pooling="cls"), SpecError, "another setting"),
        (dict(dtype="float16"), SpecError, "another setting"),
        (dict(pooling="tokens"), SpecError, "unknown pooling of imported vectors 'tokens'"),
        (dict(model=" "), SpecError, "name of the model"),
        (dict(name="a/b"), StoreError, "cannot name a feature set"),
        (dict(max_length=1), SpecError, "max_length is 1"),
        (dict(dtype="int8"), SpecError, "unknown dtype"),
    ],
)
def test_settings_that_are_refused(store, options, error, message):
    import_features(VECTORS, TEXTS, store, model="m")
    with pytest.raises(error, match=message):
        import_features(VECTORS, TEXTS, store, **{"model": "m", **options})


def test_another_width_than_that_of_the_set(store):
    import_features(VECTORS, TEXTS, store, model="m")
    with pytest.raises(SpecError, match="holds vectors of 6 numbers, and the vectors has 5"):
        import_features(VECTORS[:, :5], TEXTS, store, model="m")


def test_encoders_and_vectors_do_not_mix(write, store):
    source, encoder = Source(file_of(write)), FakeEncoder()
    build_features(source, store, encoder, name="built")
    with pytest.raises(SpecError, match="holds features that enc made with 'fake'"):
        import_features(VECTORS, TEXTS, store, model="fake", name="built")
    import_features(VECTORS, TEXTS, store, model="m")
    with pytest.raises(SpecError, match="vectors that 'm' made outside enc, and no encoder adds to them"):
        build_features(source, store, encoder, name="m")


def test_a_head_is_trained_and_known_texts_are_scored(write, tmp_path, store):
    path = file_of(write)
    import_features(VECTORS, path, store, model="m")
    head = train_head(Source(path), Store(store).open(), valid=Source(path))
    summary = score_parquet(path, tmp_path / "out.parquet", head, store)
    assert (summary.scored, summary.encoded) == (40, 0)
    new = write("new.tsv", "text\tlabel\ntext 1\ta\nnew\ta\nnewer\ta\n")
    with pytest.raises(
        MissingFeatures, match=r"2 texts have no vectors in feature set 'm' \(.* row 2 of .*new"
    ):
        score_parquet(new, tmp_path / "no.parquet", head, store)
    for other in (None, tmp_path / "elsewhere"):
        with pytest.raises(MissingFeatures, match="name the --store of these vectors"):
            score_parquet(path, tmp_path / "no.parquet", head, other)
    with pytest.raises(MissingFeatures, match=r"no vectors in feature set 'm' \(the first is in row 2 of"):
        Store(store).features(new, "m")
    assert not (tmp_path / "no.parquet").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_is_left_where_writing_fails(store, monkeypatch):
    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(writer, "SHARD_BYTES", 500)
    monkeypatch.setattr(checks, "BLOCK_BYTES", 8 * 6 * 9)
    real = whole_writer.NewShard.finish
    finished = []
    monkeypatch.setattr(
        whole_writer.NewShard,
        "finish",
        lambda shard: full() if len(finished) > 2 else finished.append(real(shard)),
    )
    with pytest.raises(StoreError, match="the disk is full"):
        import_features(VECTORS, TEXTS, store, model="m")
    assert not (store / "m").exists()
    monkeypatch.undo()
    import_features(VECTORS[:5], TEXTS[:5], store, model="m")
    monkeypatch.setattr(FeatureTable, "commit", full)
    with pytest.raises(StoreError, match="the disk is full"):
        import_features(VECTORS, TEXTS, store, model="m")
    assert FeatureTable(store / "m").rows == 5
    assert len(list((store / "m").glob("*.parquet"))) == 1


def test_a_process_that_comes_between_is_noticed(store, monkeypatch):
    real = checks.Checker.require_consistent

    def meanwhile(*arguments):
        real(*arguments)
        monkeypatch.undo()
        import_features(VECTORS[:3] + 1, TEXTS[:3], store, model="m")

    monkeypatch.setattr(checks.Checker, "require_consistent", meanwhile)
    with pytest.raises(StoreError, match="another process has written to feature set 'm' meanwhile"):
        import_features(VECTORS, TEXTS, store, model="m")
    assert FeatureTable(store / "m").rows == 3


def test_a_file_that_changes_meanwhile(write, tmp_path, store, monkeypatch):
    path = saved(tmp_path / "v.npy", VECTORS)
    real = checks.Checker.require_consistent

    def meanwhile(*arguments):
        real(*arguments)
        np.save(path, VECTORS + 1)

    monkeypatch.setattr(checks.Checker, "require_consistent", meanwhile)
    with pytest.raises(SourceError, match="changed while it was read"):
        import_features(path, file_of(write), store, model="m")
    assert not (store / "m").exists()
