import threading
from contextlib import suppress

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.engine import build_features, encode_texts
from enc.engine.encode import windows
from enc.store import FeatureTable, Source, SpecError, Store
from enc.store.mapped_tokens import mapped_features
from enc.store.shard_writer import ShardWriter
from enc.store.share import Share
from fakes import FakeEncoder, Heard


@pytest.fixture
def reviews(write):
    return write(
        "r.tsv",
        "text\tlabel\n"
        + "".join(f"{'w' * (i % 7 + 1)} {'x ' * (i % 11)}n{i}\t{i % 2}\n" for i in range(200)),
    )


def test_every_text_is_encoded_once(tmp_path, reviews, write):
    store, encoder = tmp_path / "store", FakeEncoder()
    first = build_features(Source(reviews), store, encoder)
    assert (first.rows, first.distinct, first.cached, first.encoded, first.version) == (200, 200, 0, 200, 1)
    assert encoder.encoded == 200
    assert first.feature_set == "fake-mean-8-float32"

    again = build_features(Source(reviews), store, encoder)
    assert (again.distinct, again.cached, again.encoded, again.version, again.texts_per_second) == (
        200,
        200,
        0,
        1,
        0.0,
    )
    assert encoder.encoded == 200

    # From another source and format, with repeats: only what is new.
    more = write("more.jsonl", '{"text": "new one"}\n{"text": "new one"}\n{"text": "w n0"}\n')
    third = build_features(Source(more), store, encoder)
    assert (third.rows, third.distinct, third.cached, third.encoded) == (3, 2, 1, 1)
    assert encoder.encoded == 201
    assert Store(store).open().rows == 201


def test_padding_is_counted(tmp_path, write):
    path = write("t.tsv", "text\na b c d\ne f\ng h\n")
    # Batches of at most 8 tokens: [4, 2] with two of padding, and [2] with none.
    assert build_features(
        Source(path), tmp_path / "store", FakeEncoder(tokens_per_batch=8)
    ).padding == pytest.approx(2 / 10)


def test_features_belong_to_their_texts(tmp_path, write):
    path = write("t.tsv", "text\none three fifteen\na bb\n" + "word " * 9 + "\n")
    build_features(Source(path), tmp_path / "store", FakeEncoder(tokens_per_batch=8))
    table = Store(tmp_path / "store").open()
    rows = pq.read_table(table.shards[0], columns=["n_tokens", "truncated"]).to_pylist()
    features = mapped_features(table.shards, table.spec).take(np.arange(3))
    by_count = {row["n_tokens"]: (row["truncated"], list(f)) for row, f in zip(rows, features, strict=True)}
    assert by_count == {3: (False, [3, 15, 3, 7]), 2: (False, [2, 3, 1, 2]), 9: (True, [8, 32, 4, 4])}


def test_small_windows_and_batches_change_nothing(tmp_path, reviews, monkeypatch):
    def stored(store):
        table = Store(store).open()
        keys = pq.read_table(table.shards[0], columns=["key"]).column("key").to_pylist()
        return dict(
            zip(keys, mapped_features(table.shards, table.spec).take(np.arange(200)).tolist(), strict=True)
        )

    build_features(Source(reviews), tmp_path / "one", FakeEncoder(tokens_per_batch=4096))
    monkeypatch.setattr(windows, "WINDOW_ROWS", 16)
    monkeypatch.setattr(windows, "READ_ROWS", 5)
    build_features(Source(reviews), tmp_path / "two", FakeEncoder(), tokens_per_batch=9)
    assert stored(tmp_path / "one") == stored(tmp_path / "two")


def test_a_run_that_breaks_down_keeps_what_is_encoded(tmp_path, reviews, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 50)
    monkeypatch.setattr(windows, "READ_ROWS", 50)
    store = tmp_path / "store"
    broken = FakeEncoder(tokens_per_batch=80, fail_after=7)
    with pytest.raises(RuntimeError, match="broke down") as caught:
        build_features(Source(reviews), store, broken, name="set")
    # Not even while the traceback holds on to the frames does a thread read from a closed connection.
    assert caught.tb is not None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("enc-tokenize")]
    kept = FeatureTable(store / "set").rows
    assert 50 < kept < 150
    assert kept % 50  # a window was broken off, and its finished batches were kept
    encoder = FakeEncoder()
    summary = build_features(Source(reviews), store, encoder, name="set")
    assert (summary.cached, summary.encoded, encoder.encoded) == (kept, 200 - kept, 200 - kept)
    assert FeatureTable(store / "set").rows == 200
    table = Store(store).open()
    numbers = np.concatenate(
        [
            mapped_features([shard], table.spec).take(np.arange(pq.read_metadata(shard).num_rows))
            for shard in table.shards
        ]
    )
    expected = encode_texts(encoder, [line.split("\t")[0] for line in reviews.read_text().splitlines()[1:]])
    np.testing.assert_array_equal(np.sort(numbers, axis=0), np.sort(expected, axis=0))


def test_windows_follow_the_encoder_s_speed():
    pace = windows.Pace(row_bytes=768)
    assert pace.window_rows == 1024
    pace.learn(1024, seconds=10.24)
    assert pace.window_rows == 6000
    pace.learn(6000, seconds=0.001)
    assert pace.window_rows == 16384
    pace.learn(16384, seconds=1e6)
    assert pace.window_rows == 1024
    assert windows.Pace(row_bytes=1 << 20).window_rows == 64


def test_an_error_while_tokenizing_is_raised_here(tmp_path, reviews):
    class Broken(FakeEncoder):
        def tokenize(self, texts, pairs=None):
            raise ValueError("bad tokenizer")

    with pytest.raises(ValueError, match="bad tokenizer"):
        build_features(Source(reviews), tmp_path / "store", Broken())


def test_rejects_are_written_beside_the_store_and_counted(tmp_path, write):
    path = write("r.tsv", "text\tlabel\nfine\t1\n\t0\n \t0\nshort\n")
    summary = build_features(Source(path), tmp_path / "store", FakeEncoder())
    assert (summary.rows, summary.encoded, summary.rejected) == (4, 1, 3)
    assert sum(summary.rejects.values()) == 3
    assert summary.first_reject == f"{path}, row 2: text is null"
    table = pq.read_table(summary.rejects_file)
    assert table.column_names == ["source", "row", "reason"]
    assert table.column("row").to_pylist() == [2, 3, 4]
    assert summary.rejects_file.startswith(str(tmp_path / "store.rejects"))


def test_pairs_are_encoded_as_pairs(tmp_path, write):
    path = write("p.tsv", "a\tb\none two\tthree\none two three\t \n")
    summary = build_features(
        Source(path, text_column="a", pair_column="b"), tmp_path / "store", FakeEncoder()
    )
    assert (summary.distinct, summary.encoded, summary.rejected) == (
        2,
        2,
        0,
    )  # the same words, differently divided


def test_progress_of_each_stage_ends_at_the_number_of_texts(tmp_path, reviews):
    heard = Heard()
    build_features(Source(reviews), tmp_path / "store", FakeEncoder(), progress=heard)
    assert heard.of("reading")[0] == (0, 0)
    assert heard.of("reading")[-1] == (200, 200)
    assert heard.of("tokenizing")[-1] == (200, 200)
    for stage in ("encoding", "writing"):
        calls = heard.of(stage)
        assert calls[0] == (0, 200)
        assert calls[-1] == (200, 200)
        assert calls == sorted(calls)
    heard.told.clear()
    build_features(Source(reviews), tmp_path / "store", FakeEncoder())
    assert heard.told == []


def test_another_setting_needs_another_name(tmp_path, reviews):
    build_features(Source(reviews), tmp_path / "store", FakeEncoder(), name="set")
    with pytest.raises(SpecError, match="max_length: 8, not 4"):
        build_features(Source(reviews), tmp_path / "store", FakeEncoder(max_length=4), name="set")


def test_nothing_to_encode_is_no_error(tmp_path, write):
    summary = build_features(Source(write("e.tsv", "text\n")), tmp_path / "store", FakeEncoder())
    assert (summary.rows, summary.encoded, summary.version) == (0, 0, 0)


def test_token_features_are_padded_to_max_length(tmp_path, tiny_bert, write):
    from enc.engine import load_encoder

    encoder = load_encoder(str(tiny_bert), pooling="tokens", max_length=12)
    build_features(Source(write("t.tsv", "text\na b\n")), tmp_path / "store", encoder)
    table = Store(tmp_path / "store").open()
    features = mapped_features(table.shards, table.spec).take(np.array([0]))
    assert features.shape == (1, 12, 16)
    assert (features[0, 4:] == 0).all()
    assert (features[0, :4] != 0).any(axis=1).all()


@pytest.mark.parametrize("stage", ["encoding", "writing"])
def test_all_that_is_encoded_is_kept_wherever_who_hears_of_it_ends_the_work(
    tmp_path, reviews, monkeypatch, stage
):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 50)
    monkeypatch.setattr(windows, "READ_ROWS", 50)
    whole = Heard()
    build_features(Source(reviews), tmp_path / "whole", FakeEncoder(), progress=whole)
    kept = []
    for last in range(len(whole.of(stage))):
        times = iter(range(last + 1))

        def interrupt(told, *_, times=times):
            if told == stage and next(times, None) is None:
                raise KeyboardInterrupt

        encoder = FakeEncoder()
        store = tmp_path / f"store{last}"
        with suppress(KeyboardInterrupt):
            build_features(Source(reviews), store, encoder, name="set", progress=interrupt)
        kept.append(FeatureTable(store / "set").rows)
        assert kept[-1] == encoder.encoded
    assert max(kept) == 200
    assert len(set(kept)) > 3


@pytest.mark.parametrize("window", [1, 3])
def test_a_window_that_cannot_be_written_ends_the_run(tmp_path, reviews, monkeypatch, window):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 50)
    monkeypatch.setattr(windows, "READ_ROWS", 50)
    write, calls = ShardWriter.write, iter(range(1, 100))

    def full(self, *columns):
        if next(calls) == window:
            raise OSError("no space left")
        write(self, *columns)

    monkeypatch.setattr(ShardWriter, "write", full)
    with pytest.raises(OSError, match="no space left"):
        build_features(Source(reviews), tmp_path / "store", FakeEncoder(), name="set")
    monkeypatch.setattr(ShardWriter, "write", write)
    kept = FeatureTable(tmp_path / "store" / "set").rows
    assert kept % 50 == 0
    assert (
        build_features(Source(reviews), tmp_path / "store", FakeEncoder(), name="set").encoded == 200 - kept
    )


def test_shares_build_the_whole_and_nothing_twice(tmp_path, reviews):
    store = tmp_path / "store"
    encoders = [FakeEncoder() for _ in range(3)]
    parts = [
        build_features(Source(reviews), store, encoder, share=Share(number, 3))
        for number, encoder in enumerate(encoders, 1)
    ]
    assert [part.encoded for part in parts] == [encoder.encoded for encoder in encoders]
    assert min(part.encoded for part in parts) > 40  # of 200
    assert sum(part.encoded for part in parts) == sum(part.rows for part in parts) == 200
    again = build_features(Source(reviews), store, FakeEncoder())
    assert (again.cached, again.encoded) == (200, 0)


def test_shares_of_pairs_that_are_encoded_apart_build_the_whole_and_nothing_twice(tmp_path):
    lines = [f"text {n % 40}\tother {n % 7}" for n in range(90)] + ["text 3\t", "text 1\ttext 2\tmore"]
    (tmp_path / "p.tsv").write_text("\n".join(["a\tb", *lines]) + "\n")
    source = Source(tmp_path / "p.tsv", text_column="a", pair_column="b", pairs="separate")
    whole = build_features(source, tmp_path / "one", FakeEncoder())
    parts = [
        build_features(source, tmp_path / "store", FakeEncoder(), share=Share(number, 3))
        for number in (1, 2, 3)
    ]
    assert (whole.rows, whole.distinct, whole.rejected) == (92, 47, 2)
    for count in ("rows", "distinct", "cached", "encoded", "rejected"):
        assert sum(getattr(part, count) for part in parts) == getattr(whole, count)
    assert min(part.encoded for part in parts) > 5
    assert [bool(part.rejects_file) for part in parts] == [True, False, False]
    again = build_features(source, tmp_path / "store", FakeEncoder())
    assert (again.cached, again.encoded) == (47, 0)
