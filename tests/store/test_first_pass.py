"""What a first pass writes, and that shares read of it what they would read of the source."""

import os
from dataclasses import replace

import pytest
from enc.store import Share, Source, SourceError
from enc.store import first_pass as first_passes
from enc.store.duck import workspace
from enc.store.first_pass import (
    finished_first_pass,
    first_pass_of,
    part_facts,
    stage_parts,
    write_part,
)
from enc.store.source_parts import parts_of
from enc.store.stage import stage_source
from enc.store.staged_pieces import stage_piece
from fakes import fake_spec

SPEC = fake_spec()


@pytest.fixture
def source(write, tmp_path):
    write("a.tsv", "text\tlabel\n" + "".join(f"text {i % 700}\t{i}\n" for i in range(1000)) + "\t5\n")
    write("b.csv", 'text,label\n"text 1",1\n"only, here",2\nodd\n"text 1",3\n')
    return Source([tmp_path / "a.tsv", tmp_path / "b.csv"])


def made(source, store):
    first_pass = first_pass_of(source, store, "set", SPEC.digest)
    for part, file in parts_of(source, first_pass.place).items():
        write_part(source, first_pass.folder, part, file)
    return first_pass


def rows_of(stage):
    columns = "SELECT DISTINCT key, text, pair FROM {} WHERE key IS NOT NULL ORDER BY key"
    rejects = (
        "SELECT f.name, r.row, r.reason FROM {0}_rejects r JOIN {0}_files f ON f.id = r.source ORDER BY ALL"
    )
    return [stage.con.sql(sql.format(stage.name)).fetchall() for sql in (columns, rejects)]


def test_shares_of_a_first_pass_are_those_of_the_source(source, tmp_path):
    first_pass = made(source, tmp_path / "store")
    assert finished_first_pass(source, tmp_path / "store", "set", SPEC) == first_pass
    for share in (Share(), Share(1, 3), Share(3, 3), Share(7, 512)):
        with workspace() as con:
            scanned = stage_source(con, source, "scanned", share=share)
            read = stage_parts(con, source, first_pass, share)
            assert rows_of(read) == rows_of(scanned)
            assert (read.rows, read.rejected) == (scanned.rows, scanned.rejected)
            assert read.reasons() == scanned.reasons()
            assert read.first_reject() == scanned.first_reject()
            assert (read.text_column, read.pair_column) == ("text", None)


def test_a_part_is_of_the_file_of_its_name_alone(source, tmp_path):
    """A file that comes in between, or takes the place of another one, is not written under its name."""
    store = tmp_path / "store"
    every = Source(str(tmp_path / "*.*sv"))
    first_pass = first_pass_of(every, store, "set", SPEC.digest)
    (first, a), (second, b) = parts_of(every, first_pass.place).items()
    (tmp_path / "aa.tsv").write_text("text\nanother\n")
    write_part(every, first_pass.folder, second, b)
    assert [one.file for one in part_facts(replace(first_pass, parts=first_pass.parts[1:]))] == [
        str(tmp_path / "b.csv")
    ]
    os.utime(tmp_path / "a.tsv", ns=(1, 1))
    with pytest.raises(SourceError, match=r"a\.tsv changed while it was read"):
        write_part(every, first_pass.folder, first, a)
    assert len(first_pass.missing()) == 1


def test_a_file_that_changes_while_it_is_staged_has_no_part(source, tmp_path, monkeypatch):
    first_pass = first_pass_of(source, tmp_path / "store", "set", SPEC.digest)

    def late(con, source, piece):
        (tmp_path / "b.csv").write_text("text\nnew\n")
        return stage_piece(con, source, piece)

    monkeypatch.setattr(first_passes, "stage_piece", late)
    with pytest.raises(SourceError, match=r"b\.csv changed while it was read"):
        write_part(source, first_pass.folder, *list(parts_of(source, first_pass.place).items())[1])
    assert len(first_pass.missing()) == 2
