"""Large Parquet files in pieces: what they are, and that each is read as a part of the whole."""

import os
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Share, Source, SourceError, row_groups
from enc.store.duck import workspace
from enc.store.first_pass import first_pass_of, stage_parts, write_part
from enc.store.places import mark_of, place_of
from enc.store.row_groups import fetched_piece, pieces_of
from enc.store.source_parts import expected_bytes, parts_of
from enc.store.stage import stage_source


def pieces(file):
    return pieces_of(str(file), mark_of(place_of(str(file))))


def written(path, rows=1000, group=50, **columns):
    texts = [None if i % 97 == 5 else " " if i % 89 == 7 else f"text {i % 700}" for i in range(rows)]
    table = pa.table({"text": texts, "n": list(range(rows)), **columns})
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture
def file(tmp_path):
    return written(tmp_path / "rows.parquet")


def test_pieces_are_all_row_groups_in_their_order(file, small_pieces):
    found = pieces(file)
    assert [number for one in found for number in one.numbers] == list(range(20))
    assert [one.first_row for one in found] == [50 * one.first for one in found]
    assert [one.rows for one in found] == [50 * len(one.numbers) for one in found]
    assert {one.rows for one in found} <= {50, 100, 150}
    assert len(found) > 5
    assert [one.is_last for one in found] == [False] * (len(found) - 1) + [True]
    assert found == (pieces_of.cache_clear(), pieces(file))[1]


def test_pieces_weigh_about_the_same_and_are_not_too_many(tmp_path, small_pieces, monkeypatch):
    texts = [f"{'x' * 2000 if i < 200 else 'x'} {i}" for i in range(2000)]
    long = tmp_path / "long.parquet"
    pq.write_table(pa.table({"text": texts}), long, row_group_size=20, use_dictionary=False)
    found = pieces(long)
    assert len(found) > 20
    assert found[0].rows == 20
    assert found[-1].rows > 60
    monkeypatch.setattr(row_groups, "MOST_PIECES", 7)
    pieces_of.cache_clear()
    assert len(pieces(long)) == 7
    assert sum(one.rows for one in pieces(long)) == 2000


def test_what_cannot_be_divided_is_one_piece(tmp_path, small_pieces, write):
    assert pieces(written(tmp_path / "one.parquet", group=1000)) == (None,)
    assert pieces(written(tmp_path / "none.parquet", rows=0)) == (None,)
    assert pieces(written(tmp_path / "named.parquet", File_Row_Number=[1] * 1000)) == (None,)
    assert pieces(write("text.parquet", "text\nno Parquet file\n")) == (None,)


def test_small_files_are_not_looked_at(file):
    pieces_of.cache_clear()
    assert pieces(file) == (None,)
    (piece,) = parts_of(Source(file), file.parent).values()
    assert (piece.file, piece.groups, piece.bytes) == (str(file), None, file.stat().st_size)


def test_a_part_is_named_after_its_piece(file, small_pieces):
    parts = parts_of(Source(file), file.parent)
    assert len(parts) > 5
    assert list(parts) == list(parts_of(Source(file), file.parent))
    assert expected_bytes(parts.values()) == pytest.approx(file.stat().st_size * 5 / 4, abs=20)
    os.utime(file, ns=(1, 1))
    assert not set(parts) & set(parts_of(Source(file), file.parent))


def answers(stage):
    texts = (
        "SELECT DISTINCT f.name, key, text, pair FROM {0} JOIN {0}_files f ON f.id = source "
        "WHERE key IS NOT NULL"
    )
    rejects = "SELECT name, row, reason FROM {0}_rejects JOIN {0}_files f ON f.id = source"
    found = [stage.con.sql(f"{sql.format(stage.name)} ORDER BY ALL").fetchall() for sql in (texts, rejects)]
    return [*found, stage.rows, stage.rejected, stage.reasons(), stage.first_reject(), stage.text_column]


def require_same(source, store, files=1):
    """A first pass over pieces has what one scan of the source has, in all and by shares."""
    first_pass = first_pass_of(source, store, "set", "0")
    parts = parts_of(source, first_pass.place)
    assert len({piece.file for piece in parts.values()}) == files
    assert sum(piece.groups is not None for piece in parts.values()) > 5
    for part, piece in parts.items():
        write_part(source, first_pass.folder, part, piece)
    for share in (Share(), Share(1, 3), Share(3, 3)):
        with workspace() as con:
            whole = answers(stage_source(con, source, "scanned", share=share))
            assert answers(stage_parts(con, source, first_pass, share)) == whole
            assert whole[0] or not share.is_whole


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"where": "n % 3 = 1"},
        {"where": "n >= 333 AND n < 334"},
        {"text_column": "text", "pair_column": "n"},
        {"where": "n > (SELECT avg(n) FROM read_parquet('{file}'))"},
    ],
)
def test_pieces_have_what_the_whole_has(file, tmp_path, small_pieces, options):
    options = {name: value.format(file=file) for name, value in options.items()}
    require_same(Source(file, **options), tmp_path / "store")


def test_pieces_of_several_files_have_what_these_have(file, tmp_path, small_pieces, write):
    second = written(tmp_path / "second.parquet", rows=500)
    third = write("third.tsv", "text\ntext 3\n \nbad\tline\n")
    require_same(Source([file, third, second]), tmp_path / "store", files=3)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (pa.string(), None),
        (pa.string(), "n % 3 <> 1"),
        (pa.string(), "text <> 'text 4'"),
        (pa.binary(), None),
        (pa.binary(), "n % 3 <> 1"),
    ],
)
def test_bytes_that_are_no_text_are_rejects_of_their_rows(tmp_path, small_pieces, kind, where):
    values = [b"caf\xe9" if i in (3, 555, 999) else f"text {i % 600}".encode() for i in range(1000)]
    column = pa.array(values, pa.binary())
    column = column if kind == pa.binary() else pa.Array.from_buffers(kind, 1000, column.buffers())
    path = tmp_path / "bytes.parquet"
    pq.write_table(pa.table({"text": column, "n": list(range(1000))}), path, row_group_size=50)
    require_same(Source(path, where=where), tmp_path / "store")


def test_a_piece_of_a_damaged_file_is_refused(file, tmp_path, small_pieces):
    source, store = Source(file), tmp_path / "store"
    first_pass = first_pass_of(source, store, "set", "0")
    folder = first_pass.folder
    *_, last = pieces(file)
    with workspace() as con, pytest.raises(SourceError, match=r"is damaged: .* it says that there are 7"):
        stage_source(con, source, piece=replace(last, rows=7))
    data = bytearray(file.read_bytes())
    start = pq.read_metadata(file).row_group(1).column(0).data_page_offset
    data[start : start + 40] = bytes(40)
    file.write_bytes(data)
    (name, piece), *_, last = parts_of(source, first_pass.place).items()
    with pytest.raises(SourceError, match=r"rows\.parquet cannot be read"):
        write_part(source, folder, name, piece)
    write_part(source, folder, *last)  # which is whole


def test_of_an_object_only_the_piece_is_fetched(objects, tmp_path, small_pieces):
    file, url = tmp_path / "rows.parquet", "s3://bucket/rows.parquet"
    texts = [os.urandom(500).hex() for _ in range(1000)]
    pq.write_table(pa.table({"text": texts}), file, row_group_size=50, use_dictionary=False)
    size = file.stat().st_size
    objects.objects["rows.parquet"] = (file.read_bytes(), 1.0)
    piece = list(parts_of(Source(url), tmp_path).values())[3]
    objects.requests.clear()
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = fetched_piece(url, folder, piece.groups)
    assert objects.sent("rows.parquet") < size // 4
    assert os.path.getsize(copy) == size
    with workspace() as con:
        stage = stage_source(con, Source(copy), piece=piece.groups)
        assert stage.rows == piece.groups.rows
    part = pq.ParquetFile(copy).read_row_groups(list(piece.groups.numbers))
    assert part.equals(pq.read_table(file).slice(piece.groups.first_row, piece.groups.rows))
    assert pq.ParquetFile(copy).metadata.equals(pq.read_metadata(file))
