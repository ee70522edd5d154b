"""An interrupted run and the next one write what one run would have written, byte for byte."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, score_parquet, train_head
from enc.engine.encode import build, windows
from enc.engine.scoring import output, writing
from enc.engine.scoring.scorer import Scorer
from enc.engine.train.config import TrainConfig
from enc.store import FeatureTable, Source, Store
from fakes import FakeBackend, FakeEncoder

ROWS = 400


class Broken(Exception):
    """What ends a run before its time."""


class BatchedBackend(FakeBackend):
    """Features that depend on a text's batch, as those of real networks do in their last bits."""

    title = "batched"

    def _features(self, batch):
        rows, width = batch.input_ids.shape
        return super()._features(batch) * np.float32(1 + 1e-3 * rows + 1e-4 * width)


class BatchedEncoder(FakeEncoder):
    def __init__(self, **changes):
        super().__init__(**changes)
        fake = BatchedBackend(self.spec, self.fake.tokens_per_batch, self.fake._fail_after)
        self.fake = fake
        self._choice._make = lambda: fake


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    lines = [f"{'word ' * (1 + 5 * (i % 2))}n{i}\t{'long' if i % 2 else 'short'}" for i in range(60)]
    (folder / "train.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    source = Source(folder / "train.tsv")
    build_features(source, folder / "store", FakeEncoder(), name="set")
    config = TrainConfig(epochs=4, learning_rate=0.05)
    return train_head(source, Store(folder / "store").open(), valid=source, config=config)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Windows, batches and row groups that are small, and a part for each row group."""
    monkeypatch.setattr(windows, "FIRST_WINDOW_ROWS", 16)
    monkeypatch.setattr(windows, "WINDOW_ROWS", 50)
    monkeypatch.setattr(windows, "READ_ROWS", 7)
    monkeypatch.setattr(writing, "BATCH_ROWS", 16)
    monkeypatch.setattr(writing, "PART_SECONDS", 0.0)
    monkeypatch.setattr(output, "ROW_GROUP_ROWS", 32)


def texts_of(rows: int) -> list[str | None]:
    made = random.Random(1)
    texts: list[str | None] = [f"{'word ' * made.randint(0, 9)}t{made.randint(0, rows)}" for _ in range(rows)]
    texts[5], texts[77] = None, " "
    return texts


@pytest.fixture
def parquet(tmp_path):
    (tmp_path / "in").mkdir()
    table = pa.table(
        {
            "id": range(ROWS),
            "text": texts_of(ROWS),
            "tag": pa.array([["a", None]] * ROWS),
            "label": ["long" if i % 3 else "short" for i in range(ROWS)],
        }
    )
    pq.write_table(table, tmp_path / "in" / "a.parquet", row_group_size=90)
    return tmp_path / "in" / "a.parquet"


def kept_of(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if path.name.startswith(out.name))


def counts_of(summary) -> dict:
    values = dataclasses.asdict(summary)
    return {
        name: value for name, value in values.items() if name not in ("seconds", "outputs", "rejects_file")
    }


def break_scoring(monkeypatch, after: int) -> list[int]:
    """Let scoring end after so many batches; returns the ids that were scored."""
    score, seen = Scorer.score, []

    def broken(self, ids):
        if len(seen) == after:
            raise Broken
        seen.append(int(ids[0]))
        return score(self, ids)

    monkeypatch.setattr(Scorer, "score", broken)
    return seen


@pytest.mark.parametrize("after", [1, 4, 9, 14])
@pytest.mark.parametrize("where", ["a store", "no store", "a store that stays as it is"])
def test_encoding_goes_on_with_the_same_batches(head, parquet, tmp_path, where, after):
    def run(name, **encoder):
        store = tmp_path / name if where != "no store" else None
        made = BatchedEncoder(**encoder)
        cache = where != "a store that stays as it is"
        options = {"proba": True, "label_column": "label", "cache": cache}
        return made, score_parquet(
            parquet, tmp_path / f"{name}.parquet", head, store, load=lambda _: made, **options
        )

    encoder, whole = run("whole")
    with pytest.raises(RuntimeError, match="broke down"):
        run("broken", fail_after=after)
    assert kept_of(tmp_path / "broken.parquet") == ["broken.parquet.enc-part"]
    second, again = run("broken")
    assert 0 < second.fake.batches < encoder.fake.batches
    assert second.fake.batches == encoder.fake.batches - after
    assert counts_of(again) == counts_of(whole)
    for file in ("{}.parquet", "{}.parquet.rejects.parquet"):
        one, other = (tmp_path / file.format(name) for name in ("whole", "broken"))
        assert one.read_bytes() == other.read_bytes()
    assert kept_of(tmp_path / "broken.parquet") == ["broken.parquet", "broken.parquet.rejects.parquet"]


def test_a_window_is_written_batch_by_batch_where_encoding_is_slow(head, parquet, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "FIRST_WINDOW_ROWS", 1000)
    monkeypatch.setattr(windows, "WINDOW_ROWS", 1000)
    monkeypatch.setattr(build, "WINDOW_SECONDS", 0.0)
    add, added = build._Written.add, []

    def counted(self, window, features):
        before = self._work.encoded
        add(self, window, features)
        added.append(self._work.encoded - before)

    monkeypatch.setattr(build._Written, "add", counted)
    encoder = BatchedEncoder()
    summary = score_parquet(
        parquet, tmp_path / "whole.parquet", head, tmp_path / "store", load=lambda _: encoder
    )
    assert len(added) == encoder.fake.batches + 1
    assert max(added) <= 64
    assert sum(added) == summary.encoded == FeatureTable(tmp_path / "store" / "set").rows


@pytest.mark.parametrize("after", [0, 1, 2, 5, 13, 24])
def test_scoring_goes_on_after_the_last_row_group(head, parquet, tmp_path, monkeypatch, after):
    def run(name, **options):
        return score_parquet(
            parquet, tmp_path / f"{name}.parquet", head, tmp_path / "store",
            load=lambda _: BatchedEncoder(), top_k=2, **options,
        )  # fmt: skip

    run("first")
    whole = run("whole")
    with monkeypatch.context() as patch:
        break_scoring(patch, after)
        with pytest.raises(Broken):
            run("out")
    assert not (tmp_path / "out.parquet").exists()
    seen = break_scoring(monkeypatch, 1000)
    assert counts_of(run("out")) == counts_of(whole)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert len(seen) == 25 - after // 2 * 2
    assert seen == [16 * n for n in range(after // 2 * 2, 25)]
