"""An interrupted run and the next one write what one run would have written, byte for byte."""

import dataclasses
import errno
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, score_parquet, train_head
from enc.engine.encode import build, windows
from enc.engine.scoring import batches_of_ids, output, unfinished_folder, writing
from enc.engine.scoring.scorer import Scorer
from enc.engine.scoring.unfinished import OtherRun, Unfinished
from enc.engine.train.config import TrainConfig
from enc.store import FeatureTable, Source, SourceError, Store
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
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 16)
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
    """Let scoring end after so many batches; returns the first ids of those that were scored."""
    score, seen = Scorer.score, []

    def broken(self, ids):
        if int(ids[0]) >= 16 * after:
            raise Broken
        seen.append(int(ids[0]))
        return score(self, ids)

    monkeypatch.setattr(Scorer, "score", broken)
    return seen


@pytest.mark.parametrize("after", [1, 9])
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


@pytest.mark.parametrize("after", [0, 5, 24])
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
    assert sorted(seen) == [16 * n for n in range(after // 2 * 2, 25)]


def scored(head, parquet, out, store=None, **options):
    return score_parquet(parquet, out, head, store, load=lambda _: BatchedEncoder(), **options)


def broken_run(monkeypatch, head, parquet, out, *, after=5, **options):
    with monkeypatch.context() as patch:
        break_scoring(patch, after)
        with pytest.raises(Broken):
            scored(head, parquet, out, **options)


def test_another_run_does_not_go_on(head, parquet, tmp_path, monkeypatch):
    out, said = tmp_path / "out.parquet", []
    broken_run(monkeypatch, head, parquet, out)
    other = head.replace(weights={name: one * 2 for name, one in head.weights.items()})
    with pytest.raises(OtherRun, match="with another head; repeat its command to finish it, or"):
        scored(other, parquet, out)
    parquet.touch()
    with pytest.raises(OtherRun, match="another input, head"):
        scored(other, parquet, out)
    scored(other, parquet, out, overwrite=True, say=said.append)
    assert said == [f"what an interrupted run left of '{out}' is dropped: another input, head"]
    scored(other, parquet, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_other_columns_are_written_of_the_same_texts(head, parquet, tmp_path, monkeypatch):
    out, said = tmp_path / "out.parquet", []
    broken_run(monkeypatch, head, parquet, out)

    def no_encoder(spec):
        raise AssertionError("everything is encoded")

    options = {"threshold": 0.7, "columns": ["id"]}
    score_parquet(parquet, out, head, load=no_encoder, say=said.append, **options)
    assert said == [
        "going on with the texts that an interrupted run encoded; it had another columns, threshold"
    ]
    scored(head, parquet, tmp_path / "whole.parquet", **options)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_another_encoder_does_not_go_on(head, parquet, tmp_path):
    out = tmp_path / "out.parquet"
    with pytest.raises(RuntimeError, match="broke down"):
        score_parquet(parquet, out, head, load=lambda _: BatchedEncoder(fail_after=5))
    with pytest.raises(OtherRun, match=r"another encoder \(batched, and this is fake\)"):
        score_parquet(parquet, out, head, load=lambda _: FakeEncoder())
    score_parquet(parquet, out, head, load=lambda _: FakeEncoder(), overwrite=True)
    score_parquet(parquet, tmp_path / "whole.parquet", head, load=lambda _: FakeEncoder())
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("point", ["_move", "note rejects", "remove"])
def test_what_ends_between_two_steps_is_finished_by_the_next_run(head, parquet, tmp_path, monkeypatch, point):
    out, name = tmp_path / "out.parquet", point.split()[0]
    method = getattr(Unfinished, name)
    with monkeypatch.context() as patch:

        def broken(self, *arguments, **options):
            if name != "note" or arguments[0] == "rejects":
                raise Broken
            return method(self, *arguments, **options)

        patch.setattr(Unfinished, name, broken)
        with pytest.raises(Broken):
            scored(head, parquet, out)
    assert out.exists() == (point != "_move")
    seen = break_scoring(monkeypatch, 1000)
    counts = counts_of(scored(head, parquet, out))
    assert not seen
    assert counts == counts_of(scored(head, parquet, tmp_path / "whole.parquet"))
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert kept_of(out) == ["out.parquet", "out.parquet.rejects.parquet"]


def test_files_of_a_folder_that_are_finished_stay(head, parquet, tmp_path, monkeypatch):
    pq.write_table(pq.read_table(parquet).slice(100, 90), parquet.with_name("b.parquet"))
    out = tmp_path / "out"
    broken_run(monkeypatch, head, parquet.parent, f"{out}/", after=28)
    assert sorted(path.name for path in out.iterdir()) == [".enc-part", "a.parquet"]
    before = (out / "a.parquet").stat()
    seen = break_scoring(monkeypatch, 1000)
    summary = scored(head, parquet.parent, f"{out}/")
    assert len(seen) == 4  # of six batches in the second file, a row group of two was there
    assert (out / "a.parquet").stat() == before
    whole = scored(head, parquet.parent, f"{tmp_path / 'whole'}/")
    assert counts_of(summary) == counts_of(whole)
    for file in ("a.parquet", "b.parquet"):
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["a.parquet", "b.parquet"]


def test_what_is_unfinished_is_no_input(head, parquet, tmp_path, monkeypatch):
    out = parquet.parent / "deep" / "out.parquet"
    broken_run(monkeypatch, head, parquet.parent, out)
    assert list((parquet.parent / "deep" / "out.parquet.enc-part").rglob("*.parquet"))
    summary = scored(head, parquet.parent, out)
    assert summary.rows == ROWS
    scored(head, parquet, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_finished_file_that_somebody_replaced_is_not_touched(head, parquet, tmp_path, monkeypatch):
    pq.write_table(pq.read_table(parquet).slice(100, 90), parquet.with_name("b.parquet"))
    out = tmp_path / "out"
    broken_run(monkeypatch, head, parquet.parent, f"{out}/", after=28)
    (out / "a.parquet").write_bytes(b"theirs")
    with pytest.raises(SourceError, match="is there already"):
        scored(head, parquet.parent, f"{out}/")
    (out / "a.parquet").unlink()
    scored(head, parquet.parent, f"{out}/")
    scored(head, parquet.parent, f"{tmp_path / 'whole'}/")
    assert (out / "a.parquet").read_bytes() == (tmp_path / "whole" / "a.parquet").read_bytes()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_rows_that_are_not_what_was_written_are_written_again(head, parquet, tmp_path, monkeypatch, damage):
    out = tmp_path / "out.parquet"
    broken_run(monkeypatch, head, parquet, out)
    part = tmp_path / "out.parquet.enc-part" / "rows-0.part"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 4
    part.write_bytes(content if damage == "flipped" else content[:100])
    if damage == "gone":
        part.unlink()
    seen = break_scoring(monkeypatch, 1000)
    scored(head, parquet, out)
    assert len(seen) == 25
    scored(head, parquet, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_query_that_gives_other_rows_each_time_is_read_once(head, parquet, tmp_path, monkeypatch):
    query = f"SELECT *, random() AS chance FROM '{parquet}' ORDER BY chance"
    source, out = Source(parquet, query=query), tmp_path / "out.parquet"
    broken_run(monkeypatch, head, source, out)
    written = pq.read_table(tmp_path / "out.parquet.enc-part" / "the query.parquet")
    scored(head, source, out)
    table = pq.read_table(out)
    assert table.select(["id", "chance"]).equals(written.select(["id", "chance"]))


def test_a_condition_that_picks_other_rows_each_time_is_refused(head, parquet, tmp_path, monkeypatch):
    source, out = Source(parquet, where="random() < 0.5"), tmp_path / "out.parquet"
    broken_run(monkeypatch, head, source, out)
    with pytest.raises(OtherRun, match="choice of rows, which the same condition makes differently"):
        scored(head, source, out)
    summary = scored(head, source, out, overwrite=True)
    assert summary.rows == pq.read_metadata(out).num_rows


def test_two_runs_do_not_write_one_output(head, parquet, tmp_path):
    out = tmp_path / "out.parquet"
    with Unfinished(out), pytest.raises(SourceError, match="another process is writing this output"):
        scored(head, parquet, out)
    scored(head, parquet, tmp_path / "out.parquet")


def test_without_locks_nothing_is_gone_on_with_and_nothing_is_left(head, parquet, tmp_path, monkeypatch):
    def no_locks(path, *, create=False):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(unfinished_folder, "exclusive_lock", no_locks)
    out = tmp_path / "out.parquet"
    broken_run(monkeypatch, head, parquet, out)
    assert kept_of(out) == []
    scored(head, parquet, out)
    assert kept_of(out) == ["out.parquet", "out.parquet.rejects.parquet"]


@pytest.mark.parametrize("out", ["out.parquet", "deep/er/", "x" * 220 + ".parquet"])
def test_a_mistake_leaves_nothing_behind(head, parquet, tmp_path, out):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SourceError, match="column 'nobody' is not in"):
        scored(head, parquet, f"{tmp_path}/{out}", columns=["nobody"])
    assert sorted(tmp_path.rglob("*")) == before
    scored(head, parquet, f"{tmp_path}/{out}", text_column="text")
