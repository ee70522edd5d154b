import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from enc.cli.main import main


@pytest.fixture
def enc():
    """Run a command; returns its result, stdout apart from stderr."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="enc")
        if result.exit_code != code and result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def reviews(tmp_path):
    """Sentences of good and bad words, with labels for every task."""
    path = tmp_path / "reviews.parquet"
    duckdb.sql(
        "COPY (SELECT repeat('good ', i % 4) || repeat('bad ', (i + 1) % 3) || i AS text, "
        "i % 4 > 1 AS label, list_filter([if(i % 4 > 0, 'good', NULL), if(i % 3 < 2, 'bad', NULL)], "
        "lambda x: x IS NOT NULL) AS tags, "
        "(i % 4 > 0)::INT AS good, (i % 3 < 2)::INT AS bad, (i % 4) * 1.25 AS stars FROM range(60) t(i)) "
        f"TO '{path}'"
    )
    return path


@pytest.fixture
def build(enc, reviews, tiny_bert, tmp_path):
    def build(*options):
        enc(
            "build-features",
            reviews,
            "--store",
            tmp_path / "store",
            "--model",
            tiny_bert,
            "--max-length",
            16,
            *options,
        )
        return "--store", tmp_path / "store"

    return build


@pytest.fixture
def scored(enc, reviews, tmp_path):
    """The rows of `reviews` with the predictions of a head."""

    def scored(store, head, *options) -> pa.Table:
        enc("score", reviews, tmp_path / "out.parquet", "--head", head, *store, "--overwrite", *options)
        return pq.read_table(tmp_path / "out.parquet")

    return scored
