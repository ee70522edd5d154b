"""Stores in an object store: what is read, what fails, and that nothing is lost or there twice."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from enc.store import FeatureTable, Store, StoreError
from enc.store.compact import compact
from enc.store.delete import delete
from enc.store.errors import DamagedShard, PlaceError, WorkspaceError
from enc.store.mapped import MappedFeatures
from enc.store.mapped_tokens import mapped_features
from enc.store.places import RemotePath, folder_of, room
from enc.store.plan import shard_keys_sql
from enc.store.rewrite import replace_shards
from enc.store.token_batches import planned_features
from enc.store.vacuum import vacuum
from enc.store.verify import verify
from fakes import fake_spec
from feature_sets import RAGGED, add, filled, flip, key_of, page_start, served
from object_server import SECRET

STORE = "s3://bucket/store"
SET = f"{STORE}/set"


@pytest.fixture
def forget(monkeypatch, tmp_path):
    """A function after which this machine holds nothing of an object store."""
    count = iter(range(100))
    return lambda: monkeypatch.setenv("ENC_SHARD_CACHE", str(tmp_path / f"cache-{next(count)}"))


LAYOUTS = pytest.mark.parametrize("layout", [{}, RAGGED], ids=["of one width", "of tokens"])


@LAYOUTS
@pytest.mark.parametrize("mode", ["ram", "mapped", "streamed"])
def test_a_store_is_written_and_read_as_a_folder_is(objects, forget, mode, layout):
    filled(SET, range(50), range(50, 120), **layout)
    forget()
    assert served(SET, mode) == {n: n for n in range(120)}
    assert Store(STORE).feature_sets() == ["set"]
    assert Store(STORE).open().rows == 120
    assert "store/set/spec.json" in objects.objects


def test_plans_read_the_keys_and_no_features(objects, forget):
    wide, rows = fake_spec(hidden_size=384, dtype="float16"), 6000
    table = FeatureTable.create(SET, wide)
    with table.writer() as writer:
        writer.write(
            pa.array([key_of(n) for n in range(rows)], pa.binary()),
            np.zeros(rows, np.int32),
            np.zeros(rows, bool),
            np.ones((rows, 384), np.float16),
        )
    forget()
    table = FeatureTable(SET)
    objects.requests.clear()
    shards = table.shards
    assert duckdb.sql(f"SELECT count(*) FROM ({shard_keys_sql(shards)})").fetchall() == [(rows,)]
    assert objects.sent(".parquet") < 0.06 * table.bytes + (1 << 16)  # and the tail, where the footer is
    again = objects.sent(".parquet")
    assert FeatureTable(SET).shards == shards
    assert objects.sent(".parquet") == again
    assert MappedFeatures(shards, wide).take(np.arange(10)).sum() == 3840
    assert objects.sent(".parquet") > 0.9 * table.bytes
    assert sum(file.stat().st_blocks * 512 for file in Path(shards[0]).parent.iterdir()) > 0.9 * table.bytes


@pytest.mark.parametrize("faults", [("503", "dropped", "half", "lost"), ("half",)])
def test_nothing_is_lost_or_there_twice_where_requests_fail(objects, forget, faults):
    objects.every, objects.faults = 5, faults
    FeatureTable.create(SET, fake_spec())

    def write(first: int) -> None:
        table = FeatureTable(SET)
        for start in range(first, first + 30, 10):
            add(table, range(start, start + 10))

    with ThreadPoolExecutor(2) as writers:
        list(writers.map(write, (0, 30)))
    forget()
    assert objects.failed > 10
    table = FeatureTable(SET)
    assert table.rows == 60
    assert served(SET) == {n: n for n in range(60)}
    held = [name for name in objects.objects if name.endswith(".parquet")]
    assert len(held) == len(table.logged) == 6


def test_a_commit_whose_answer_is_lost_is_found(objects, monkeypatch):
    table = filled(SET, range(5))
    sent = table.delta.create_write_transaction
    lost = []

    class Lossy:
        def __getattr__(self, name):
            return getattr(delta, name)

        def create_write_transaction(self, *args, **options):
            sent(*args, **options)
            lost.append(1)
            raise OSError("Generic S3 error: error sending request")

    delta, table._delta = table._delta, Lossy()
    add(table, range(5, 9))
    assert (len(lost), table.rows, FeatureTable(SET).version) == (1, 9, 2)


@LAYOUTS
def test_a_reader_goes_on_beside_a_compaction(objects, forget, layout):
    filled(SET, *(range(n, n + 10) for n in range(0, 50, 10)), **layout)
    objects.every = 7
    forget()
    old = FeatureTable(SET)
    shards = old.shards
    summary = compact(SET)
    assert (summary.shards_before, summary.shards_after, summary.rows) == (5, 1, 50)
    locations = np.concatenate([(n << 40) + np.arange(10) for n in range(5)])
    found = planned_features(shards, old.spec, locations, batches="streamed").take(np.arange(50))
    assert sorted(found.reshape(50, -1)[:, 0].tolist()) == list(range(50))
    assert served(SET) == {n: n for n in range(50)}
    summaries = verify(STORE, "set")
    assert (summaries.damaged, summaries.rows, summaries.doubles) == ([], 50, 0)


def test_two_compactions_keep_every_row_once(objects):
    filled(SET, *(range(n, n + 10) for n in range(0, 50, 10)))
    first, second = FeatureTable(SET), FeatureTable(SET)
    compact(first)
    with pytest.raises(StoreError, match="another process has removed 5 of the shards"):
        replace_shards(second, second.logged, {}, rows_change=False)
    assert served(SET) == {n: n for n in range(50)}
    assert len(FeatureTable(SET).logged) == 1
    assert sum(name.endswith(".parquet") for name in objects.objects) == 6


@LAYOUTS
def test_texts_are_deleted_and_old_files_vacuumed_by_age(objects, layout):
    filled(SET, range(10), range(10, 20), **layout)
    deleted = delete(SET, where="n_tokens < 5")
    assert (deleted.deleted, FeatureTable(SET).rows, len(deleted.files)) == (5, 15, 1)
    with pytest.raises(StoreError, match=r"object store, .* pass --retain 24 or more"):
        vacuum(SET, retain_hours=0)
    assert vacuum(SET).removed == []
    objects.objects["store/set/part-left.parquet"] = (b"left", time.time() - 25 * 3600)
    objects.objects["store/set/part-new.parquet"] = (b"new", time.time())
    assert vacuum(SET).removed == ["part-left.parquet"]
    assert served(SET) == {n: n for n in range(5, 20)}


def test_a_missing_or_damaged_shard_is_named_by_its_url(objects, forget):
    table = filled(SET, range(10), range(10, 20))
    first, second = sorted(name for name in objects.objects if name.endswith(".parquet"))
    data, when = objects.objects[first]
    objects.objects[first] = (data[:-100] + bytes([data[-100] ^ 1]) + data[-99:], when)
    forget()
    with pytest.raises(
        DamagedShard, match=rf"shard s3://bucket/{first} .*enc store verify 's3://bucket/store'"
    ):
        _ = FeatureTable(SET).shards
    del objects.objects[second]
    objects.objects[first] = data, when
    forget()
    with pytest.raises(DamagedShard, match=rf"shard s3://bucket/{second} is missing"):
        _ = FeatureTable(SET).shards
    with pytest.raises(DamagedShard, match="is missing"):
        table.refresh().require_files()
    assert verify(STORE, "set", repair=True).lost == 10
    assert FeatureTable(SET).rows == 10


@LAYOUTS
def test_features_that_arrive_damaged_are_refused(objects, forget, layout):
    filled(SET, range(1000), **layout)
    name = next(name for name in objects.objects if name.endswith(".parquet"))
    data, when = objects.objects[name]
    place = data.index(np.full(4, 777, np.float32).tobytes())
    objects.objects[name] = (data[:place] + b"\1" + data[place + 1 :], when)
    forget()
    with pytest.raises(DamagedShard, match="row group 0 is not what was written"):
        served(SET)


@pytest.mark.parametrize("column", ["kept_tokens", "features"])
def test_a_length_that_is_damaged_in_the_cache_is_fetched_anew(objects, forget, column):
    filled(SET, range(100), **RAGGED)
    forget()
    assert len(served(SET)) == 100
    path = Path(FeatureTable(SET).shards[0])
    flip(path, page_start(path, column), 1)
    assert served(SET, "mapped") == {n: n for n in range(100)}
    name = next(name for name in objects.objects if name.endswith(".parquet"))
    assert path.read_bytes() == objects.objects[name][0]


@LAYOUTS
@pytest.mark.parametrize("mode", ["ram", "streamed"])
def test_reading_goes_on_by_ranges_where_the_cache_is_full(objects, forget, monkeypatch, mode, layout):
    filled(SET, range(20_000), range(20_000, 30_000), **layout)
    forget()
    monkeypatch.setenv("ENC_SHARD_CACHE_GB", "0.00000001")
    assert served(SET, mode) == {n: n for n in range(30_000)}
    table = FeatureTable(SET)
    with pytest.raises(WorkspaceError, match="ENC_SHARD_CACHE_GB"):
        served(SET, "mapped")
    rows = mapped_features(table.shards, table.spec).take(np.array([7, (1 << 40) + 3, 5]))
    assert rows.shape == (3, *table.spec.shape)
    monkeypatch.setenv("ENC_SHARD_CACHE_GB", "1")
    assert served(SET, "mapped") == {n: n for n in range(30_000)}


def test_what_was_not_used_for_longest_leaves_the_cache(objects, forget, monkeypatch):
    wide = fake_spec(hidden_size=384)
    for name in ("a", "b"):
        with FeatureTable.create(f"{STORE}/{name}", wide).writer() as writer:
            values = np.repeat(np.arange(2000, dtype=np.float32)[:, None], 384, axis=1)
            keys = pa.array([key_of(n) for n in range(2000)], pa.binary())
            writer.write(keys, np.zeros(2000, np.int32), np.zeros(2000, bool), values)
    forget()
    shard = {name: FeatureTable(f"{STORE}/{name}").shards[0] for name in ("a", "b")}
    held = MappedFeatures([shard["a"]], wide)
    assert held.take(np.array([7]))[0, 0] == 7
    full = room._held(Path(shard["a"]))
    monkeypatch.setenv("ENC_SHARD_CACHE_GB", str(1.5 * full / 1e9))
    assert MappedFeatures([shard["b"]], wide).take(np.array([9]))[0, 0] == 9  # by ranges: "a" is in use
    before = room._held(Path(shard["b"]))
    assert room._held(Path(shard["a"])) == full
    del held
    assert MappedFeatures([shard["b"]], wide).take(np.array([3]))[0, 0] == 3
    assert room._held(Path(shard["a"])) < 0.2 * full
    assert room._held(Path(shard["b"])) > before
    assert FeatureTable(f"{STORE}/a").shards == [shard["a"]]  # its keys are still there


@LAYOUTS
def test_another_tools_shard_is_fetched_whole(objects, forget, tmp_path, layout):
    table = filled(SET, range(10), **layout)
    import pyarrow.parquet as pq

    rows = pq.read_table(table.shards[0])
    pq.write_table(rows, tmp_path / "x.parquet", compression="zstd")
    data = (tmp_path / "x.parquet").read_bytes()
    objects.objects["store/set/part-foreign.parquet"] = (data, time.time())
    file = folder_of(RemotePath(SET)) / "part-foreign.parquet"
    file.write_bytes(data)
    table.commit([(file, 10)], table.logged)
    forget()
    assert served(SET) == {n: n for n in range(10)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "wrong"},
            "access to 's3://bucket/store.*' is denied; check AWS_ACCESS_KEY_ID",
        ),
        ({"AWS_ACCESS_KEY_ID": ""}, "no credentials for 's3://bucket/store.*'; set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached .*AWS_ENDPOINT_URL"),
    ],
)
def test_what_a_store_refuses_is_one_line_without_secrets(objects, monkeypatch, change, said):
    monkeypatch.setattr("enc.store.places.client._ATTEMPTS", 1)
    monkeypatch.setattr("enc.store.places.client._CLIENT_RETRIES", 0)
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    for action in (lambda: Store(STORE).feature_sets(), lambda: FeatureTable.create(SET, fake_spec())):
        with pytest.raises(PlaceError, match=said) as error:
            action()
        assert "\n" not in str(error.value)
        assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://other/store", "there is no bucket 'other'"),
        ("s3://bucket/none", "there is no store at 's3://bucket/none'"),
        ("s3://key:secret@bucket/store", "credentials and ports have no place in a URL"),
        ("s3://bucket/a/../b", "is no plain place"),
        ("ftp://bucket/store", "there are s3://, gs://, az://"),
        ("s3:/bucket/store", "there are s3://, gs://, az://"),
    ],
)
def test_a_place_that_is_none_is_named(objects, url, said):
    with pytest.raises(StoreError, match=said) as error:
        Store(url).feature_sets()
    assert "secret" not in str(error.value)


def test_an_object_store_without_conditional_puts_is_refused(objects):
    objects.conditional = False
    with pytest.raises(PlaceError, match="ignores conditional puts"):
        FeatureTable.create(SET, fake_spec())
    assert not objects.objects


def test_a_damaged_log_is_not_made_anew(objects):
    filled(SET, range(10))
    for name in [name for name in objects.objects if "_delta_log" in name]:
        objects.objects[name] = (b"{", time.time())
    with pytest.raises(StoreError, match="in an object store no new one can take its place"):
        verify(STORE, "set", repair=True)


def test_lists_go_on_behind_a_page(objects):
    for number in range(2100):
        objects.objects[f"many/{number:05}.txt"] = (b"x", time.time())
    assert len(list(RemotePath("s3://bucket/many").glob("*.txt"))) == 2100
    assert [path.name for path in RemotePath("s3://bucket/many").glob("0000[0-2].*")] == [
        "00000.txt", "00001.txt", "00002.txt",
    ]  # fmt: skip


def test_a_wrong_bound_is_named(objects, monkeypatch):
    monkeypatch.setenv("ENC_SHARD_CACHE_GB", "many")
    with pytest.raises(WorkspaceError, match="ENC_SHARD_CACHE_GB is 'many'"):
        filled(SET, range(3))


def test_sources_and_heads_are_copied_and_outputs_refused(objects, tmp_path):
    from enc.engine.heads.head import Head
    from enc.engine.heads.output import require_output
    from enc.engine.scoring.jobs import require_output as require_file
    from enc.store import Source, SourceError

    for name, text in {"a.tsv": "text\none\n", "b.tsv": "text\ntwo\n", "c.csv": "x\n"}.items():
        objects.objects[f"data/{name}"] = (text.encode(), time.time())
    files = Source(["s3://bucket/data/*.tsv", "s3://bucket/data/a.tsv"]).files()
    assert [Path(file).read_text() for file in files] == ["text\none\n", "text\ntwo\n"]
    for name, said in {
        "s3://bucket/data": "is a folder",
        "s3://bucket/none.tsv": "no file",
        "s3://bucket/n*": "no file",
    }.items():
        with pytest.raises(PlaceError, match=said):
            Source(name).files()
    saved = Path(__file__).parents[1] / "data" / "v0.1" / "head-linear"
    for file in saved.iterdir():
        objects.objects[f"head/{file.name}"] = (file.read_bytes(), time.time())
    assert Head.load("s3://bucket/head").labels == Head.load(saved).labels
    with pytest.raises(PlaceError, match="there is nothing in 's3://bucket/nohead'"):
        Head.load("s3://bucket/nohead")
    require_output("s3://bucket/new")
    for action in (
        lambda: require_output(Path("s3://bucket/new")),
        lambda: Head.load(saved).save(Path("s3://bucket/new")),
    ):
        with pytest.raises(PlaceError, match="is no place"):
            action()
    with pytest.raises(SourceError, match="is no file of this machine"):
        require_file(Path("s3://bucket/scored.parquet"), overwrite=False)
