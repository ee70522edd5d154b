import duckdb
import pytest
from enc.store import Source, WorkspaceError, duck
from enc.store.duck import count, execute, scan_memory, workspace
from enc.store.stage import stage_source


def limit_of(con) -> str:
    return con.sql("SELECT current_setting('memory_limit')").fetchall()[0][0]


def test_workspace_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with workspace() as con:
        assert len(list(tmp_path.iterdir())) == 1
        assert con.sql("SELECT 1").fetchall() == [(1,)]
    assert list(tmp_path.iterdir()) == []


def test_memory_is_raised_where_long_texts_need_it(write, monkeypatch):
    monkeypatch.setattr(duck, "BYTES_PER_THREAD", 1 << 20)
    path = write("long.tsv", "text\n" + "\n".join(f"{i} {'long ' * 4000}" for i in range(500)) + "\n")
    with workspace() as con:
        before = limit_of(con)
        with pytest.raises(duckdb.OutOfMemoryException):
            con.execute(f"CREATE TABLE t AS SELECT * FROM read_csv('{path}')").fetchall()
        assert stage_source(con, Source(path)).rows == 500
        assert limit_of(con) != before


def test_what_never_fits_is_an_error(monkeypatch):
    monkeypatch.setattr(duck, "available_memory", lambda: 64 << 20)
    with workspace() as con, pytest.raises(duckdb.OutOfMemoryException):
        execute(con, "SELECT list(repeat('x', 1000) || i) FROM range(1000000) t(i)")


def test_scan_memory_is_given_back():
    with workspace() as con:
        before = limit_of(con)
        with scan_memory(con, 100):
            assert limit_of(con) != before
        assert limit_of(con) == before
        assert execute(con, "SELECT 1") == [(1,)]
        assert count(con, "range(7)") == 7


def limited(folder, limit, used, cache):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cache}\nfile {cache}\n")


def test_limits_of_a_container_and_of_those_around_it(tmp_path):
    mount, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("0::/job/step\n")
    limited(mount / "job" / "step", "max", 500, 100)
    limited(mount / "job", 1000, 700, 200)
    assert duck._room_in_groups(str(mount), str(membership)) == [500]
    limited(mount / "job" / "step", 600, 500, 100)
    assert duck._room_in_groups(str(mount), str(membership)) == [200, 500]


def test_without_groups_there_is_no_limit(tmp_path):
    assert duck._room_in_groups(str(tmp_path), str(tmp_path / "none")) == []


def test_available_memory_is_within_the_limit(monkeypatch):
    everything = duck.available_memory()
    monkeypatch.setattr(duck, "_room_in_groups", lambda: [12345])
    assert duck.available_memory() == 12345 < everything


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        (
            duckdb.IOException,
            'IO Error: Could not write file "/t/x.duckdb": No space left on device',
            'Could not write file "/t/x.duckdb": No space left on device; free some space .* or set TMPDIR',
        ),
        (
            duckdb.OutOfMemoryException,
            "Out of Memory Error: could not allocate 3 GiB\nmore",
            "DuckDB has not enough memory: could not allocate 3 GiB$",
        ),
    ],
)
def test_a_workspace_that_is_too_small_is_called_that(kind, said, message):
    class Failing:
        """A connection that fails when rows are put into the stage."""

        def __init__(self, con):
            self.con = con

        def __getattr__(self, name):
            return getattr(self.con, name)

        def execute(self, sql, *arguments):
            if sql.startswith("INSERT INTO stage "):
                raise kind(said)
            return self.con.execute(sql, *arguments)

    with pytest.raises(WorkspaceError, match=message), workspace():
        raise kind(said)
    with pytest.raises(WorkspaceError, match=message), workspace() as con:
        stage_source(Failing(con), Source(query="SELECT 'a' AS text"))


def test_errors_of_other_kinds_pass_through_a_workspace():
    with pytest.raises(duckdb.CatalogException), workspace() as con:
        con.execute("FROM nowhere")
