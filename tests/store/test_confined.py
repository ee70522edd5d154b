import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Source, SourceError
from enc.store.confined import confined, require_condition, require_select
from enc.store.duck import workspace
from enc.store.stage import stage_source


@pytest.fixture
def files(tmp_path):
    """A file of texts, and a file that nobody named."""
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), tmp_path / "texts.parquet")
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    return tmp_path


def texts_of(source):
    with workspace() as con:
        stage_source(con, source)
        return [text for (text,) in con.sql("SELECT text FROM stage ORDER BY id").fetchall()]


QUERIES = [
    "SELECT 1 AS text) ; COPY (SELECT 1) TO '{0}/written' ; SELECT (1",
    "SELECT 1 AS text; COPY (SELECT 1) TO '{0}/written'",
    "COPY (SELECT 1) TO '{0}/written'",
    "CREATE TABLE t AS SELECT 1 AS text",
    "ATTACH '{0}/written'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit='1TB'",
    "PRAGMA version",
    "",
    "SELEC 1",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_one_select(files, query):
    with pytest.raises(
        SourceError, match=r"--query must be one SELECT|the query cannot be read|which rows"
    ) as e:
        texts_of(Source(files / "texts.parquet", query=query.format(files)) if query else Source(query=query))
    assert "\n" not in str(e.value)
    assert not (files / "written").exists()


def test_a_query_may_end_with_a_semicolon_or_a_comment(files):
    query = f"SELECT text FROM '{files}/texts.parquet' ORDER BY n DESC; -- the last first"
    assert texts_of(Source(files / "texts.parquet", query=query)) == ["b", "a"]


@pytest.mark.parametrize(
    "reading",
    [
        "SELECT * FROM '{0}/secret.csv'",
        "SELECT content AS text FROM read_text('{0}/secret.csv')",
        "SELECT filename AS text FROM read_blob('{0}/*')",
        "SELECT file AS text FROM glob('{0}/sec*')",
        "SELECT * FROM read_csv('{0}/texts.parquet/../secret.csv')",
        "SELECT * FROM 'https://example.org/a.parquet'",
        "SELECT value AS text FROM sniff_csv('{0}/secret.csv')",
    ],
)
def test_sql_reads_nothing_that_was_not_named(files, reading):
    reading = reading.format(files)
    texts = files / "texts.parquet"
    with pytest.raises(SourceError):
        texts_of(Source(texts, query=reading))
    with pytest.raises(SourceError):
        texts_of(Source(texts, where=f"text IN (SELECT text FROM ({reading}))"))


def test_what_is_refused_is_named_with_the_way_out(files):
    secret = f"{files}/secret.csv"
    source = Source(files / "texts.parquet", query=f"SELECT * FROM '{secret}'")
    with pytest.raises(SourceError, match=rf"must not read '{secret}'; .* pass --allow-path {secret}"):
        texts_of(source)


def test_more_can_be_allowed(files):
    query = f"SELECT text FROM '{files}/secret.csv'"
    for allowed in (files / "secret.csv", files):
        assert texts_of(Source(query=query, allowed_paths=[allowed])) == ["secret"]
        where = f"text = 'a' AND EXISTS ({query})"
        assert texts_of(Source(files / "texts.parquet", where=where, allowed_paths=[allowed])) == ["a"]


def test_a_variable_of_this_program_is_no_table(files):
    table = pa.table({"text": ["of the program"]})
    with pytest.raises(SourceError, match="table"):
        texts_of(Source(files / "texts.parquet", query="SELECT * FROM table"))
    assert table.num_rows == 1


@pytest.mark.parametrize(
    "where",
    [
        "true) ; COPY (SELECT 1) TO '{0}/written' ; SELECT (true",
        "true)) ; COPY (SELECT 1) TO '{0}/written' ; --",
        "true) UNION ALL (SELECT 1",
        "true, false",
        "n = ",
    ],
)
def test_a_condition_is_one_expression(files, where):
    with pytest.raises(SourceError, match=r"--where|cannot be read"):
        texts_of(Source(files / "texts.parquet", where=where.format(files)))
    assert not (files / "written").exists()


def test_a_condition_may_end_with_a_comment(files):
    assert texts_of(Source(files / "texts.parquet", where="n = 1 -- the first")) == ["a"]


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access=true",
        "SET allowed_directories=['/']",
        "RESET lock_configuration",
        "COPY (SELECT 1) TO '{0}/written'",
        "COPY (SELECT 1) TO '{0}/texts.parquet'",
        "ATTACH '{0}/written'",
        "INSTALL json FROM community",
        "LOAD '{0}/any.duckdb_extension'",
    ],
)
def test_the_connection_itself_is_closed(files, statement):
    # A statement that passed the parser would still meet this.
    closed = pytest.raises(duckdb.Error, match=r"[Cc]annot|disabled|locked|not allowed|Permission")
    paths = [str(files / "texts.parquet")]
    with confined(paths, temporary=files / "tmp", memory_bytes=1 << 28) as con, closed:
        con.execute(statement.format(files))
    assert not (files / "written").exists()
    assert pq.read_table(files / "texts.parquet").num_rows == 2


def test_parsed_sql_is_returned():
    assert require_select("FROM range(3) t(i) ; ") == "FROM range(3) t(i)"
    assert require_select("SELECT '中;文' ;; -- a; b\n /* c */") == "SELECT '中;文'"
    assert require_condition("a = 1 OR b LIKE '%;%'") == "a = 1 OR b LIKE '%;%'"
