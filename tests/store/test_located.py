import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Source, SourceError, located
from enc.store.duck import workspace
from enc.store.located import Located
from enc.store.lookup import NOWHERE, look_up
from enc.store.shard_writer import ShardWriter
from enc.store.stage import stage_source
from fakes import fake_spec

TEXTS = ["b", None, "x", "a", " ", "x", "y", "b"]


@pytest.fixture
def con():
    with workspace() as connection:
        yield connection


@pytest.fixture
def rows(tmp_path):
    """A Parquet file of some texts, in row groups of three."""

    def rows(texts, name="rows.parquet", kind=None):
        column = pa.array(texts, kind or pa.string())
        table = pa.table({"text": column, "n": range(len(texts))})
        pq.write_table(table, tmp_path / name, row_group_size=3)
        return str(tmp_path / name)

    return rows


@pytest.fixture
def stored(con, tmp_path, rows):
    """Write a shard with features of some texts."""

    def stored(texts, number=0):
        stage = stage_source(con, Source(rows(texts, f"stored-{number}.parquet")), f"stored_{number}")
        keys = con.sql(f"SELECT key FROM {stage.name} ORDER BY id").to_arrow_table().column(0)
        path, count = tmp_path / f"part-{number}.parquet", len(texts)
        writer = ShardWriter(path, fake_spec())
        features = np.zeros((count, *fake_spec().shape), np.float32)
        writer.write(keys.combine_chunks(), np.ones(count, np.int32), np.zeros(count, bool), features)
        writer.close()
        return [str(path)]

    return stored


def texts_of(stage):
    return stage.con.sql(f"SELECT id, text FROM {stage.name} WHERE key IS NOT NULL ORDER BY id").fetchall()


@pytest.mark.parametrize("where", [None, "n <> 3 AND n <> 4"])
def test_a_stream_finds_what_a_table_finds(con, rows, stored, where):
    source, shards = Source(rows(TEXTS), where=where), stored(["a", "b"])
    stage = stage_source(con, source, "whole")
    expected = look_up(stage, shards)
    with Located(con, source, [shards, []]) as found:
        first, second = found.lookups
        assert first.locations[: stage.ids].tolist() == expected.locations.tolist()
        assert first.is_first_missing.tolist()[: stage.ids] == expected.is_first_missing.tolist()
        assert (
            (first.distinct, first.missing)
            == (expected.distinct, expected.missing)
            == ((4, 2) if where is None else (3, 2))
        )
        assert (second.distinct, second.missing) == (expected.distinct, expected.distinct)
        assert (found.stage.rows, found.stage.rejected) == (stage.rows, stage.rejected)
        assert found.stage.reasons() == stage.reasons()
        assert found.stage.first_reject() == stage.first_reject()
        assert found.stage.kept_ids().tolist() == stage.kept_ids().tolist()
        assert not texts_of(found.stage)  # nothing of a usable row is kept


def test_only_missing_texts_are_staged_and_then_found(con, rows, stored):
    source, shards = Source(rows(TEXTS)), stored(["b"])
    with Located(con, source, [shards]) as found:
        texts = found.stage_missing()
        assert texts_of(texts) == [(2, "x"), (3, "a"), (6, "y")]
        found.find_missing_in(0, stored(["y", "x"], 1), 1)
        place = 1 << 40
        assert found.lookups[0].locations.tolist() == [
            0, NOWHERE, place + 1, NOWHERE, NOWHERE, place + 1, place, 0,
        ]  # fmt: skip


def test_ids_go_on_from_file_to_file(con, rows, stored, write):
    shards = stored(["a", "b"])
    files = [rows(["x", "a"], "one.parquet"), rows(["b", "x"], "two.parquet")]
    with Located(con, Source(files), [shards]) as found:
        assert found.stage.first_ids == (0, 2)
        assert found.lookups[0].locations.tolist() == [NOWHERE, 0, 1, NOWHERE]
        assert texts_of(found.stage_missing()) == [(0, "x")]


def test_other_formats_and_labelled_rows_are_staged_whole(con, rows, stored, write):
    shards = stored(["a", "b"])
    with Located(con, Source(write("rows.tsv", "text\nb\nx\n")), [shards]) as found:
        assert found.lookups[0].locations.tolist() == [1, NOWHERE]
        assert found.stage.seen is None
        assert texts_of(found.stage_missing()) == [(0, "b"), (1, "x")]


def test_labels_are_kept(con, rows, stored):
    with Located(con, Source(rows(["b", "x"])), [stored(["b"])], label_column="n") as found:
        labels = con.sql(f"SELECT label FROM {found.stage.name} ORDER BY id").fetchall()
        assert labels == [("0",), ("1",)]
        assert texts_of(found.stage_missing()) == [(1, "x")]


def test_a_text_that_is_no_utf8_is_a_reject(con, rows, stored):
    texts = [b"b", b"\xff", b"a", b"x"]
    path = rows(texts, kind=pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 4, pa.array(texts, pa.binary()).buffers())
    pq.write_table(pa.table({"text": strings}), path, row_group_size=1)
    with Located(con, Source(path), [stored(["a", "b"])]) as found:
        assert found.lookups[0].locations.tolist() == [1, NOWHERE, 0, NOWHERE]
        assert found.stage.reasons() == {"invalid UTF-8": 1}
        assert (found.stage.rows, found.stage.rejected) == (4, 1)
        assert texts_of(found.stage_missing()) == [(3, "x")]


@pytest.mark.parametrize("told", [1, 5])
def test_a_file_that_is_not_what_its_footer_said_is_refused(con, rows, monkeypatch, told):
    monkeypatch.setattr(located, "_rows_of", lambda file: told)
    with pytest.raises(SourceError, match="changed while it was read"):
        Located(con, Source(rows(["a", "b", "c"])), [[]])


def test_more_memory_is_given_where_a_text_needs_it(con, rows, stored):
    texts = [f"{'long ' * 800_000}{n}" for n in range(16)]
    con.execute("SET memory_limit='40MB'")
    with Located(con, Source(rows(texts)), [[]]) as found:
        assert (found.stage.rows, found.lookups[0].missing) == (16, 16)
