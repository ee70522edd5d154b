import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import TrainConfig, build_features, encode_texts, evaluate_head, score_parquet, train_head
from enc.engine.scoring import batches_of_ids
from enc.store import FeatureTable, LabelError, ModelError, Source, SourceError, SpecError, Store, StoreError
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
    assert sum(summary.predictions["prediction"].values()) == 15
    assert summary.outputs == [str(tmp_path / "out.parquet")]
    rejects = pq.read_table(summary.rejects_file)
    assert rejects.column("row").to_pylist() == [i + 1 for i, known in enumerate(usable) if not known]


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
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 3)
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
    head, store, _ = trained
    path, _ = parquet
    out = tmp_path / "out.parquet"
    with pytest.raises(SourceError, match="no file"):
        score_parquet(tmp_path / "no.parquet", out, head, store)
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(SourceError, match="was cut off"):
        score_parquet(tmp_path / "no.parquet", out, head, store)
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
        score_parquet(path, tmp_path / "other.parquet", head, tmp_path)

    other = head.replace(spec=fake_spec(max_length=9))
    with pytest.raises(
        SpecError, match=r"'set' .* not of the setting the head was trained on \(max_length: 8, not 9\)"
    ):
        score_parquet(path, tmp_path / "other.parquet", other, store)


def test_a_failure_leaves_the_old_output(trained, parquet, tmp_path):
    head, store, _ = trained
    path, _ = parquet
    out = tmp_path / "out.parquet"
    out.write_text("older")

    def broken(head):
        raise ModelError("cannot be loaded")

    with pytest.raises(ModelError, match="cannot be loaded"):
        score_parquet(path, out, head, store, load=broken, overwrite=True)
    assert out.read_text() == "older"
    assert not list(tmp_path.glob(".*"))


ROWS = ["id\ttext\tlabel", "1\tword n0\tshort", "2\t\tlong", "3\tword word word\tlong", "4\tbrand new\tshort"]


def fake(spec):
    return FakeEncoder(**{name: getattr(spec, name) for name in ("pooling", "layers")})


@pytest.fixture
def scored(trained, tmp_path):
    """Score with the trained head; returns the output's rows and the summary."""
    head, store, _ = trained

    def scored(source, output="out.parquet", heads=head, **options):
        summary = score_parquet(source, tmp_path / output, heads, store, load=fake, **options)
        return pq.read_table(tmp_path / output), summary

    return scored


@pytest.mark.parametrize("name", ["rows.tsv", "rows.csv", "rows.jsonl", "rows.parquet"])
def test_formats_give_the_same_predictions(scored, write, tmp_path, name):
    rows = [dict(zip(ROWS[0].split("\t"), line.split("\t"), strict=True)) for line in ROWS[1:]]
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name.endswith("jsonl"):
        write(name, "".join(json.dumps(row) + "\n" for row in rows))
    else:
        write(name, "\n".join(line.replace("\t", "," if name.endswith("csv") else "\t") for line in ROWS))
    out, summary = scored(tmp_path / name)
    assert out.column_names == ["id", "text", "label", "prediction", "score"]
    assert [str(value) for value in out["id"].to_pylist()] == ["1", "2", "3", "4"]
    assert out["prediction"].is_valid().to_pylist() == [True, False, True, True]
    assert (summary.rows, summary.scored, summary.rejected) == (4, 3, 1)


def test_lines_that_do_not_parse_are_rejects_and_no_rows(scored, write):
    lines = [*ROWS[:2], "5\ttoo\tmany\tcolumns", *ROWS[2:]]
    out, summary = scored(write("bad.tsv", "\n".join(lines) + "\n"))
    assert out["id"].to_pylist() == ["1", "2", "3", "4"]
    assert out["prediction"].is_valid().to_pylist() == [True, False, True, True]
    assert (summary.rows, summary.scored, summary.rejected) == (4, 3, 2)
    rejects = pq.read_table(summary.rejects_file)
    assert rejects["row"].to_pylist() == [2, 3]


def test_a_condition_leaves_rows_out(scored, write, tmp_path):
    whole, _ = scored(write("rows.tsv", "\n".join(ROWS)), "whole.parquet")
    for source in (tmp_path / "rows.tsv", tmp_path / "whole.parquet"):
        where = Source(source, where="id::INT % 2 = 0 OR id = '1'")
        out, summary = scored(where, "some.parquet", column_prefix="new_", overwrite=True)
        assert out["id"].to_pylist() == ["1", "2", "4"]
        assert out["new_prediction"].to_pylist() == [whole["prediction"].to_pylist()[i] for i in (0, 1, 3)]
        assert (summary.rows, summary.scored, summary.rejected) == (3, 2, 1)


def test_a_query(scored, write, tmp_path):
    path = write("rows.tsv", "\n".join(ROWS))
    texts = "SELECT if(id = 2, NULL, text || ' more') AS text, id"
    query = f"{texts} FROM read_csv('{path}', delim='\t') ORDER BY id DESC"
    out, summary = scored(Source(path, query=query))
    assert out.column_names[:2] == ["text", "id"]
    assert [str(value) for value in out["id"].to_pylist()] == ["4", "3", "2", "1"]
    assert summary.rows == 4
    assert pq.read_table(summary.rejects_file)["source"].to_pylist() == ["the query"]
    with pytest.raises(SourceError, match=r"column 'text' is not in the query \(it has: x\)"):
        scored(Source(query="SELECT 1 AS x"), "other.parquet")


def test_columns_and_metrics(scored, write):
    path = write("rows.tsv", "\n".join(ROWS))
    out, summary = scored(path, columns=["id"], label_column="label", top_k=1)
    assert out.column_names == ["id", "prediction", "score", "top_labels", "top_scores"]
    found = summary.metrics["prediction"]
    assert (found.rows, found.predicted) == (3, 3)
    right = [
        label == answer
        for label, answer in zip(["short", None, "long", "short"], out["prediction"].to_pylist(), strict=True)
    ]
    assert found.metrics["accuracy"] == pytest.approx(sum(right[i] for i in (0, 2, 3)) / 3)
    out, _ = scored(path, "none.parquet", columns=[])
    assert out.column_names == ["prediction", "score"]
    assert out.num_rows == 4
    with pytest.raises(SourceError, match="column 'nothing' is not in"):
        scored(path, "x.parquet", columns=["nothing"])


def test_several_heads_in_one_pass(trained, scored, parquet):
    head, _, _ = trained
    path, _ = parquet
    other = head.replace(weights={**head.weights, "head.fc1.weight": -head.weights["head.fc1.weight"]})
    out, summary = scored(path, heads={"a_": head, "b_": other})
    alone, _ = scored(path, "alone.parquet", heads=other)
    assert out.column_names[-4:] == ["a_prediction", "a_score", "b_prediction", "b_score"]
    assert out["b_prediction"].equals(alone["prediction"])
    assert not out["a_prediction"].equals(out["b_prediction"])
    assert summary.encoded == 2  # for both
    assert set(summary.predictions) == {"a_prediction", "b_prediction"}


def test_files_of_a_folder(trained, scored, parquet, tmp_path):
    path, table = parquet
    for name in ("one", "two"):
        pq.write_table(table.slice(0, 5), tmp_path / f"{name}.parquet")
    head_files = [tmp_path / "one.parquet", path, tmp_path / "two.parquet"]
    together, _ = scored(head_files)
    assert together.num_rows == 31
    (tmp_path / "folder").mkdir()
    head, store, _ = trained
    summary = score_parquet(head_files, tmp_path / "folder", head, store, load=fake)
    assert summary.outputs == [str(tmp_path / "folder" / f"{name}.parquet") for name in ("one", "in", "two")]
    parts = [pq.read_table(one) for one in summary.outputs]
    assert pa.concat_tables(parts).equals(together)
    pq.write_table(table.drop_columns(["tags"]), tmp_path / "narrow.parquet")
    with pytest.raises(SourceError, match="have different columns, and would go to one file"):
        scored([path, tmp_path / "narrow.parquet"], "x.parquet")


def test_an_input_that_changes_is_refused(trained, parquet, tmp_path):
    head, store, _ = trained
    path, table = parquet

    def change(spec):
        pq.write_table(table.slice(3), path)
        return FakeEncoder()

    with pytest.raises(SourceError, match="changed while it was"):
        score_parquet(path, tmp_path / "out.parquet", head, store, load=change)
    assert not (tmp_path / "out.parquet").exists()


def test_rejects_of_an_earlier_run_do_not_stay(scored, parquet, write, tmp_path):
    _, summary = scored(parquet[0])
    path = tmp_path / "out.parquet.rejects.parquet"
    assert summary.rejects_file == str(path)
    (tmp_path / "out.parquet").unlink()
    with pytest.raises(SourceError, match=r"rejects.parquet' is there already"):
        scored(parquet[0])
    _, summary = scored(write("good.tsv", "text\nword n0\n"), overwrite=True)
    assert summary.rejects_file is None
    assert not path.exists()


def test_an_evaluation(trained, write, tmp_path):
    head, store, _ = trained
    path = write("rows.tsv", "\n".join(ROWS))
    summary = evaluate_head(path, head, store, wrong=tmp_path / "wrong.parquet", load=fake)
    out = score_parquet(path, tmp_path / "out.parquet", head, store, label_column="label")
    assert summary.figures == out.metrics["prediction"]
    assert (summary.figures.rows, summary.rejected, summary.cached, summary.encoded) == (3, 1, 1, 2)
    wrong = pq.read_table(tmp_path / "wrong.parquet")
    assert wrong.num_rows == summary.wrong == round(3 * (1 - summary.figures.metrics["accuracy"]))
    truth = {row.split("\t")[0]: row.split("\t")[2] for row in ROWS[1:]}
    for row in wrong.to_pylist():
        assert row["label"] == truth[str(row["row"])] != row["prediction"]
        assert row["score"] < 0.5
    sure = evaluate_head(path, head, store, threshold=1.0)
    assert (sure.figures.rows, sure.figures.predicted) == (3, 0)
    assert sure.figures.metrics["accuracy"] is None
    bad = write("bad.tsv", "text\tlabel\nword n0\tother\n")
    with pytest.raises(LabelError, match="unknown label 'other'"):
        evaluate_head(bad, head, store)
    with pytest.raises(LabelError, match="unknown label 'other'"):
        score_parquet(bad, tmp_path / "bad.parquet", head, store, label_column="label")
    assert not (tmp_path / "bad.parquet").exists()
    notes = write("notes.txt", "dear diary")
    with pytest.raises(SourceError, match=r"notes.txt' is there already; pass --overwrite"):
        evaluate_head(path, head, store, wrong=notes)
    assert notes.read_text() == "dear diary"
    assert evaluate_head(path, head, store, wrong=notes, overwrite=True).wrong == summary.wrong
    with pytest.raises(SourceError, match="has no row with a label"):
        evaluate_head(write("none.tsv", "text\tlabel\n\tshort\n"), head, store)
