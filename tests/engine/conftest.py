import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features
from enc.store import FeatureTable, Source, open_feature_set
from fakes import TEXTS, WORDS, FakeEncoder


@pytest.fixture
def labelled(tmp_path):
    """A Parquet file with labels for every task, and a function that encodes it and opens the features."""
    columns = {
        "text": TEXTS,
        "long": [w > 3 for w in WORDS],
        "longest": [w > 5 for w in WORDS],
        "has_long_word": [max(map(len, text.split())) > 4 for text in TEXTS],
        "tags": pa.array([["long"] * (w > 3) + ["odd"] * (w > 5) for w in WORDS]),
        "words": [10.0 * w + 0.5 for w in WORDS],
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    source = Source(tmp_path / "data.parquet")

    def encoded(**changes) -> FeatureTable:
        name = "-".join(map(str, changes.get("pooling", ("mean",))))
        build_features(source, tmp_path / "store", FakeEncoder(**changes), name=name)
        return open_feature_set(tmp_path / "store", name)

    return source, encoded
