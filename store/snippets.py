"""Programs by which other tools read a feature set."""

from .places import commit_options, table_uri
from .table import FeatureTable

_KEY = "A text's key is the SHA-256 of 't' and the text; a key that is there twice has equal features."


def snippets(table: FeatureTable) -> dict[str, str]:
    """Programs for DuckDB, Polars and Spark, by the tool's name, that print features by key.

    Those for DuckDB and Polars are Python and need ``deltalake`` beside the tool; that for Spark is PySpark
    with Delta's package.
    """
    where, number = table_uri(table.path), table.spec.numpy_dtype.newbyteorder("<").str
    width = table.spec.shape[-1]
    options = _without_secrets(commit_options(table.path))
    given = f", storage_options={options!r}" if options else ""
    if len(table.spec.shape) == 1:
        decoded = f"numpy.frombuffer(b''.join(features), {number!r}).reshape(-1, {width})"
    else:
        decoded = f"[numpy.frombuffer(row, {number!r}).reshape(-1, {width}) for row in features]"
    shape = "[rows, width]" if len(table.spec.shape) == 1 else "a list of [tokens, width]"
    return {
        "DuckDB": f"""\
# {_KEY}
import duckdb, numpy
from deltalake import DeltaTable

stored = DeltaTable({where!r}{given}).to_pyarrow_dataset()
rows = duckdb.sql("SELECT key, any_value(features) AS features FROM stored GROUP BY key").fetchall()
keys, features = [row[0] for row in rows], [row[1] for row in rows]
vectors = {decoded}  # {shape}
text = duckdb.sql("SELECT unhex(sha256('t' || 'a text of yours'))").fetchall()[0][0]
print(len(keys), text in keys)""",
        "Polars": f"""\
# {_KEY}
import hashlib, numpy, polars
from deltalake import DeltaTable

stored = polars.scan_pyarrow_dataset(DeltaTable({where!r}{given}).to_pyarrow_dataset())
rows = stored.select("key", "features").unique("key").collect()
keys, features = rows["key"].to_list(), rows["features"].to_list()
vectors = {decoded}  # {shape}
text = hashlib.sha256(b"t" + "a text of yours".encode()).digest()
print(len(keys), text in keys)""",
        "Spark": f"""\
# {_KEY}
import numpy

rows = spark.read.format("delta").load({where.replace("s3://", "s3a://")!r})
rows = rows.dropDuplicates(["key"]).select("key", "features")
features = [row.features for row in rows.limit(1000).collect()]
vectors = {decoded}  # {shape}
texts = spark.createDataFrame([("a text of yours",)], ["text"])
texts.selectExpr("text", "unhex(sha2(concat('t', text), 256)) AS key").join(rows, "key").show()""",
    }


def _without_secrets(options: dict[str, str] | None) -> dict[str, str]:
    return {
        name: value for name, value in (options or {}).items() if "key" not in name and "token" not in name
    }
