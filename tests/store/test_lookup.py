import numpy as np
import pyarrow as pa
import pytest
from enc.store import Source, lookup, stored_keys
from enc.store.duck import workspace
from enc.store.key_ranges import first_rows
from enc.store.locations import ROW_BITS
from enc.store.lookup import NOWHERE, look_up
from enc.store.shard_writer import ShardWriter
from enc.store.stage import stage_source
from fakes import fake_spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def con():
    with workspace() as connection:
        yield connection


@pytest.fixture
def staged(con, write):
    """Stage texts, in a file of any number of rows; the table's name is new each time."""
    names = iter(f"s{i}" for i in range(1000))

    def staged(texts, **options):
        name = next(names)
        path = write(f"{name}.tsv", "text\n" + "".join(f"{text}\n" for text in texts))
        return stage_source(con, Source(path, **options), name)

    return staged


@pytest.fixture
def stored(con, tmp_path, staged):
    """Write shards with features of these texts."""
    numbers = iter(range(1000))

    def stored(*shards):
        paths = []
        for texts in shards:
            stage = staged(texts)
            keys = con.sql(f"SELECT key FROM {stage.name} ORDER BY id").to_arrow_table().column(0)
            path = tmp_path / f"part-{next(numbers):04}.parquet"
            writer, rows = ShardWriter(path, fake_spec()), len(texts)
            counts, features = np.ones(rows, np.int32), np.zeros((rows, *fake_spec().shape), np.float16)
            writer.write(keys.combine_chunks(), counts, np.zeros(rows, bool), features)
            writer.close()
            paths.append(str(path))
        return paths

    return stored


def place(shard, row):
    return (shard << ROW_BITS) | row


def test_where_features_are_and_which_are_missing(staged, stored):
    shards = stored(["a", "b"], ["c"])
    found = look_up(staged(["x", "c", "b", "", "x", "y", "b"]), shards)
    assert found.locations.tolist() == [
        NOWHERE,
        place(1, 0),
        place(0, 1),
        NOWHERE,
        NOWHERE,
        NOWHERE,
        place(0, 1),
    ]
    assert found.is_first_missing.tolist() == [True, False, False, False, False, True, False]
    assert (found.distinct, found.missing) == (4, 2)  # the row without a text has none


def test_a_text_stored_twice_is_read_at_its_first_place(staged, stored):
    shards = stored(["b", "a", "a"], ["a", "c"])
    assert look_up(staged(["a", "c"]), shards).locations.tolist() == [place(0, 1), place(1, 1)]


def test_rows_that_a_filter_leaves_out_keep_their_ids(staged, stored):
    shards = stored(["a", "b", "c"])
    stage = staged(["a", "b", "c", "a"], where="text <> 'b'")
    assert look_up(stage, shards).locations.tolist() == [place(0, 0), NOWHERE, place(0, 2), place(0, 0)]


def test_missing_texts_come_once_and_in_order(con, staged, monkeypatch):
    monkeypatch.setattr(lookup, "_CHUNK_IDS", 3)
    stage = staged(["b", "", "a", "b", "c", "a", "d", "b"])
    found = look_up(stage, [])
    batches = list(found.missing_texts(con, stage, 2))
    assert [text for batch in batches for text in batch.column("text").to_pylist()] == ["b", "a", "c", "d"]
    keys = dict(con.sql(f"SELECT text, key FROM {stage.name}").fetchall())
    for batch in batches:
        assert [keys[text] for text in batch.column("text").to_pylist()] == batch.column("key").to_pylist()


@given(
    texts=st.lists(st.sampled_from("abcdefgh"), max_size=40),
    shards=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8), max_size=3),
    bits=st.integers(0, 3),
    most_indexed=st.sampled_from([0, lookup.INDEX_KEYS]),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_found_does_not_depend_on_the_ranges(staged, stored, texts, shards, bits, most_indexed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enc.store.key_ranges.range_bits", lambda _: bits)
        patch.setattr(stored_keys, "_READ_ROWS", 5)
        patch.setattr(lookup, "INDEX_KEYS", most_indexed)
        found = look_up(staged(texts), stored(*shards))
    places = {}
    for shard, stored_texts in enumerate(shards):
        for row, text in enumerate(stored_texts):
            places.setdefault(text, place(shard, row))
    assert found.locations.tolist() == [places.get(text, NOWHERE) for text in texts]
    missing = [text for text in texts if text not in places]
    firsts = [text not in places and text not in texts[:i] for i, text in enumerate(texts)]
    assert found.is_first_missing.tolist() == firsts
    assert (found.distinct, found.missing) == (len(set(texts)), len(set(missing)))


def test_keys_that_agree_in_one_word_are_told_apart():
    # Nobody finds such texts by chance. Equal rows are not side by side when sorted by that word alone.
    keys = np.array([[1, 7, 0, 0], [2, 7, 0, 0]] * 50 + [[3, 8, 0, 0]], np.uint64)
    assert first_rows(keys).tolist() in ([0, 1, 100], [1, 0, 100])


def test_the_sieve_lets_all_through_that_was_added():
    keys = np.random.default_rng(0).integers(0, 1 << 63, (20_000, 4), dtype=np.uint64)
    sieve = lookup._Sieve(1000)
    sieve.add(keys[:1000])
    held = sieve.holds(keys)
    assert held[:1000].all()
    assert held[1000:].mean() < 0.2


def test_shards_lie_in_any_folder(con, tmp_path, staged, stored):
    shards = stored(["a", "b"])
    folder = tmp_path / "key=1 [x]* ü"
    folder.mkdir()
    moved = folder / "part.parquet"
    moved.write_bytes(pa.OSFile(shards[0]).read())
    assert look_up(staged(["b"]), [str(moved)]).locations.tolist() == [1]
