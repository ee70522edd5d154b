import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from divided import load
from enc.engine import build_features, train_head
from enc.engine.runners import job
from enc.engine.runners.team import Workers
from enc.engine.scoring import batches_of_ids, outputs_task
from enc.engine.train.config import TrainConfig
from enc.store import Source, Store
from fakes import FakeEncoder
from team_here import Here

ROWS = 100


@pytest.fixture
def team(monkeypatch):
    """The team of whoever asks for workers; they load fake encoders."""
    made = Here()

    class Entered:
        def __enter__(self):
            return made

        def __exit__(self, *_):
            outputs_task._READ.clear()

    monkeypatch.setattr(Workers, "team", lambda *_: Entered())
    monkeypatch.setattr(job, "_kept", [])
    monkeypatch.setattr(job, "load_encoder_of", lambda spec, **_: load(spec))
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 16)
    return made


@pytest.fixture
def world(tmp_path):
    """Rows with known, new, repeated and bad texts as a Parquet file, and the store of the known ones."""
    texts = [f"{'word ' * (i % 7)}t{i % 80}" for i in range(ROWS)]
    texts[5], texts[77] = None, " "
    labels = ["long" if i % 7 > 2 else "short" for i in range(ROWS)]
    table = pa.table({"id": range(ROWS), "text": texts, "label": labels, "tag": [["a", None]] * ROWS})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=30)
    pq.write_table(table.slice(0, 40), tmp_path / "known.parquet")
    build_features(Source(tmp_path / "known.parquet"), tmp_path / "store", FakeEncoder(), name="set")
    return tmp_path


@pytest.fixture
def head(world):
    config = TrainConfig(epochs=4, learning_rate=0.05)
    source = Source(world / "known.parquet")
    return train_head(source, Store(world / "store").open(), valid=source, config=config)
