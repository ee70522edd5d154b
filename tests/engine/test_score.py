import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import TrainConfig, build_features, encode_texts, score, score_parquet, train_head
from enc.store import FeatureTable, ModelError, Source, SourceError, SpecError, Store, StoreError
from fakes import FakeEncoder, fake_spec


@pytest.fixture
def trained(tmp_path, write):
    lines = [
        "text\tlabel",
        *(f"{'word ' * (1 + 5 * (i % 2))}n{i}\t{'long' if i % 2 else 'short'}" for i in range(60)),
    ]
    path = write("train.tsv", "\n".join(lines) + "\n")
    store = tmp_path / "store"
    build_features(Source(path), store, FakeEncoder(), name="set")
    head = train_head(
        Source(path),
        Store(store).open(),
        valid=Source(path),
        config=TrainConfig(epochs=8, learning_rate=0.05),
    )
    return head, store, path


@pytest.fixture
def parquet(tmp_path):
    """Known, new, null, empty and repeated texts, with columns of several types, in several row groups."""
    texts = [
        "word n0",
        "brand new",
        None,
        "word word word word word word n1",
        " ",
        "brand new",
        "x y z x y z x",
    ] * 3
    rows = len(texts)
    table = pa.table(
        {
            "id": pa.array(range(rows), pa.uint16()),
            "text": pa.array(texts),
            "tags": pa.array([["a", None]] * rows),
            "group": pa.array(["g"] * rows).dictionary_encode(),
        }
    ).replace_schema_metadata({"origin": "test"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=4)
    return tmp_path / "in.parquet", table


def test_predictions_stand_beside_all_input_columns(trained, parquet, tmp_path):
    head, store, _ = trained
    path, table = parquet
    encoder = FakeEncoder()
    summary = score_parquet(
        path, tmp_path / "out.parquet", head, store, proba=True, load=lambda head: encoder
    )
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column_names == [
        "id",
        "text",
        "tags",
        "group",
        "prediction",
        "score",
        "proba_long",
        "proba_short",
    ]
    assert out.schema.metadata[b"origin"] == b"test"
    assert out.select(["id", "text", "tags", "group"]).equals(table)

    usable = [bool(t and t.strip()) for t in table.column("text").to_pylist()]
    texts = [text for text, is_usable in zip(table["text"].to_pylist(), usable, strict=True) if is_usable]
    expected = head.predict_proba(encode_texts(encoder, texts))
    kept = out.filter(pa.array(usable))
    np.testing.assert_allclose(
        np.stack([kept["proba_long"], kept["proba_short"]], axis=1), expected, rtol=1e-5
    )
    assert kept["prediction"].to_pylist() == [head.labels.values[i] for i in expected.argmax(1)]
    np.testing.assert_allclose(kept["score"], expected.max(1), rtol=1e-5)
    nulls = out.filter(pa.array([not u for u in usable]))
    assert (
        nulls["prediction"].null_count
        == nulls["score"].null_count
        == nulls["proba_long"].null_count
        == len(nulls)
        == 6
    )
    assert (summary.rows, summary.scored, summary.rejected) == (21, 15, 6)
    assert (summary.cached, summary.encoded) == (2, 2)
    assert sum(summary.predictions.values()) == 15


def test_new_texts_are_added_to_the_store_or_not(trained, parquet, tmp_path):
    head, store, _ = trained
    path, _ = parquet
    score_parquet(path, tmp_path / "a.parquet", head, store, cache=False, load=lambda head: FakeEncoder())
    assert FeatureTable(store / "set").rows == 60
    score_parquet(path, tmp_path / "b.parquet", head, store, load=lambda head: FakeEncoder())
    assert FeatureTable(store / "set").rows == 62

    def no_encoder(head):
        raise AssertionError("everything is in the store")

    score_parquet(path, tmp_path / "c.parquet", head, store, load=no_encoder)
    first, *others = (pq.read_table(tmp_path / f"{name}.parquet") for name in "abc")
    assert all(other.equals(first) for other in others)


def test_a_store_is_made_where_there_is_none(trained, parquet, tmp_path):
    head, _, _ = trained
    path, _ = parquet
    summary = score_parquet(
        path, tmp_path / "out.parquet", head, tmp_path / "fresh", load=lambda head: FakeEncoder()
    )
    assert (summary.cached, summary.encoded, FeatureTable(tmp_path / "fresh" / "set").rows) == (0, 4, 4)
    score_parquet(
        path,
        tmp_path / "out2.parquet",
        head,
        tmp_path / "never",
        cache=False,
        load=lambda head: FakeEncoder(),
    )
    assert not (tmp_path / "never").exists()


def test_many_batches_give_the_same_rows(trained, parquet, tmp_path, monkeypatch):
    head, store, _ = trained
    path, _ = parquet
    score_parquet(path, tmp_path / "whole.parquet", head, store, load=lambda head: FakeEncoder())
    monkeypatch.setattr(score, "BATCH_ROWS", 3)
    score_parquet(path, tmp_path / "pieces.parquet", head, store)
    assert pq.read_table(tmp_path / "pieces.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


def test_a_renamed_feature_set_is_found_by_its_setting(trained, parquet, tmp_path):
    head, store, _ = trained
    (store / "set").rename(store / "renamed")
    FeatureTable.create(store / "another", fake_spec(max_length=7))
    assert (
        score_parquet(
            parquet[0], tmp_path / "out.parquet", head, store, load=lambda head: FakeEncoder()
        ).cached
        == 2
    )


def test_accuracy_agrees_with_training(trained, tmp_path):
    head, store, path = trained
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    pq.write_table(
        pa.table({"text": [t for t, _ in lines], "label": [label for _, label in lines]}),
        tmp_path / "dev.parquet",
    )
    score_parquet(tmp_path / "dev.parquet", tmp_path / "out.parquet", head, store)
    out = pq.read_table(tmp_path / "out.parquet")
    assert np.mean(np.array(out["label"]) == np.array(out["prediction"])) == head.metrics["accuracy"]


def test_errors(trained, parquet, tmp_path):
    head, store, tsv = trained
    path, _ = parquet
    out = tmp_path / "out.parquet"
    with pytest.raises(SourceError, match="no file"):
        score_parquet(tmp_path / "no.parquet", out, head, store)
    with pytest.raises(SourceError, match="is not a Parquet file; DuckDB makes one"):
        score_parquet(tsv, out, head, store)
    with pytest.raises(SourceError, match="is the input itself"):
        score_parquet(path, path, head, store)
    with pytest.raises(SourceError, match=r"column 'body' is not in .* \(it has: id, text, tags, group\)"):
        score_parquet(path, out, head, store, text_column="body")
    score_parquet(path, out, head, store, load=lambda head: FakeEncoder())
    with pytest.raises(SourceError, match="already has a column 'prediction'; pass --column-prefix"):
        score_parquet(out, tmp_path / "again.parquet", head, store)
    score_parquet(out, tmp_path / "again.parquet", head, store, column_prefix="second_")
    assert "second_prediction" in pq.read_schema(tmp_path / "again.parquet").names
    with pytest.raises(StoreError, match="is not a store"):
        score_parquet(path, out, head, tmp_path)

    other = head.replace(spec=fake_spec(max_length=9))
    with pytest.raises(
        SpecError, match=r"'set' .* not of the setting the head was trained on \(max_length: 8, not 9\)"
    ):
        score_parquet(path, out, other, store)


def test_a_failure_leaves_the_old_output(trained, parquet, tmp_path):
    head, store, _ = trained
    path, _ = parquet
    out = tmp_path / "out.parquet"
    out.write_text("older")

    def broken(head):
        raise ModelError("cannot be loaded")

    with pytest.raises(ModelError, match="cannot be loaded"):
        score_parquet(path, out, head, store, load=broken)
    assert out.read_text() == "older"
    assert not list(tmp_path.glob(".*"))
