"""The main job through the commands, with a tiny random BERT."""

import json
import os
import signal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def reviews(write):
    words = {"0": "bad dirty loud", "1": "good clean calm"}
    rows = [f"{words[label]} room {i}\t{label}" for i in range(40) for label in "01"]
    return write("reviews.tsv", "sentence\tlabel\n" + "\n".join(rows) + "\n")


@pytest.fixture
def built(enc, reviews, tiny_bert, tmp_path):
    store = tmp_path / "features"
    enc(
        "build-features",
        reviews,
        "--store",
        store,
        "--model",
        tiny_bert,
        "--max-length",
        32,
        "--name",
        "tiny",
    )
    return store


@pytest.fixture
def head(enc, built, reviews, tmp_path):
    enc(
        "train-head",
        reviews,
        "--valid-fraction",
        0.25,
        "--store",
        built,
        "--output",
        tmp_path / "head",
        "--epochs",
        30,
    )
    return tmp_path / "head"


@pytest.fixture
def parquet(reviews, tmp_path):
    path = tmp_path / "new.parquet"
    duckdb.sql(
        f"COPY (SELECT sentence, label::INT AS label FROM read_csv('{reviews}', delim='\t')) TO '{path}'"
    )
    return path


def test_build_prints_a_summary(enc, reviews, tiny_bert, tmp_path):
    result = enc(
        "build-features", reviews, "--store", tmp_path / "s", "--model", tiny_bert, "--max-length", 8
    )
    assert "feature set 'tiny-bert-mean-8'" in result.stdout
    lines = {" ".join(line.split()[:-1]): line.split()[-1] for line in result.stdout.splitlines()}
    assert (lines["rows read"], lines["distinct texts"], lines["in the store"]) == ("80", "80", "0")
    assert "a higher --max-length keeps more of them" in result.stdout
    assert "loading" in result.stderr


def test_build_json_is_one_object_on_stdout(enc, reviews, tiny_bert, built):
    result = enc("build-features", reviews, "--store", built, "--name", "tiny", "--json")
    summary = json.loads(result.stdout)
    assert summary.keys() >= {
        "rows", "distinct", "cached", "encoded", "truncated", "rejected", "seconds",
        "texts_per_second", "feature_set", "version",
    }  # fmt: skip
    # The name of an existing feature set brings its setting along.
    assert (summary["cached"], summary["encoded"], summary["feature_set"], summary["version"]) == (
        80,
        0,
        "tiny",
        1,
    )


def test_build_from_a_query_and_a_filter(enc, reviews, built):
    query = f"SELECT sentence || '!' AS body FROM read_csv('{reviews}', delim='\t') WHERE label = 1"
    result = enc(
        "build-features",
        reviews,
        "--query",
        query,
        "--text-column",
        "body",
        "--store",
        built,
        "--name",
        "tiny",
        "--json",
    )
    assert json.loads(result.stdout)["encoded"] == 40
    result = enc(
        "build-features", reviews, "--where", "label = '0'", "--store", built, "--name", "tiny", "--json"
    )
    assert json.loads(result.stdout)["rows"] == 40


def test_rejects_are_told(enc, built, write):
    path = write("bad.tsv", "sentence\tlabel\nbroken line\n\t1\nfine\t1\n")
    result = enc("build-features", path, "--store", built, "--name", "tiny")
    assert "first reject: " + str(path) + ", row 1: line 2 is malformed: missing columns" in result.stdout
    assert "1 text is null" in result.stdout
    assert "all rejects:" in result.stdout


def test_train_prints_counts_epochs_and_the_result(enc, built, reviews, tmp_path):
    result = enc(
        "train-head",
        reviews,
        "--valid",
        reviews,
        "--store",
        built,
        "--features",
        "tiny",
        "--output",
        tmp_path / "h",
        "--epochs",
        3,
    )
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["train", "80", "rows", "(0:", "40,", "1:", "40)"]
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert ["majority", "class", "0.5000"] in [line.split() for line in lines]
    record = json.loads((tmp_path / "h" / "head.json").read_text())["record"]
    assert record["command"].startswith("enc ")
    assert record["versions"].keys() == {"enc-features", "torch", "transformers"}


def test_train_where(enc, built, write, tmp_path):
    path = write(
        "split.tsv",
        "sentence\tlabel\tpart\nbad dirty loud room 1\t0\ta\ngood clean calm room 1\t1\ta\nbad dirty "
        "loud room 2\t0\tb\n",
    )
    result = enc(
        "train-head",
        path,
        "--where",
        "part = 'a'",
        "--valid-where",
        "part = 'b'",
        "--store",
        built,
        "--output",
        tmp_path / "h",
        "--json",
    )
    assert json.loads(result.stdout)["train_rows"] == 2
    assert json.loads(result.stdout)["valid_rows"] == 1


def test_train_builds_what_is_missing_if_asked(enc, built, write, tmp_path):
    path = write("more.tsv", "sentence\tlabel\nquite new\t1\nanother one\t0\n")
    options = ("train-head", path, "--valid", path, "--store", built, "--output", tmp_path / "h")
    result = enc(*options, code=2)
    assert f"error: 2 texts of {path} have no features yet; run `enc build-features {path}" in result.stderr
    enc(*options, "--build")


def test_a_score_that_is_stopped_tells_how_it_goes_on(enc, head, built, parquet, tmp_path, monkeypatch):
    from enc.engine.scoring.unfinished import Unfinished

    arguments = ("score", parquet, tmp_path / "out.parquet", "--head", head, "--store", built)
    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "_move", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        result = enc(*arguments, code=143)
    again = f"enc score {parquet} {tmp_path / 'out.parquet'} --head {head}"
    assert f"interrupted; what is finished is kept. Go on with: {again}" in result.stderr
    assert not (tmp_path / "out.parquet").exists()
    result = enc(*arguments)
    assert f"going on with what an interrupted run left in '{tmp_path}/out.parquet.enc-part'" in result.stderr
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 80


def test_score_and_predict(enc, head, built, parquet, tmp_path):
    result = enc("score", parquet, tmp_path / "out.parquet", "--head", head, "--store", built, "--json")
    summary = json.loads(result.stdout)
    assert (summary["scored"], summary["encoded"]) == (80, 0)
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column("prediction").type == pa.int64()
    right = sum(
        p == label for p, label in zip(out["prediction"].to_pylist(), out["label"].to_pylist(), strict=True)
    )
    assert right > 60

    texts = ("bad dirty loud room 3", "good clean calm room 3")
    lines = enc("predict", "--head", head, *texts).stdout.splitlines()
    by_text = dict(zip(out["sentence"].to_pylist(), out["prediction"].to_pylist(), strict=True))
    assert lines[0].split() == ["prediction", "0", "1", "text"]
    assert [line.split()[0] for line in lines[1:]] == [str(by_text[text]) for text in texts]
    assert [line.split(maxsplit=3)[3] for line in lines[1:]] == list(texts)
    answer = json.loads(enc("predict", "--head", head, texts[0], "--json").stdout)
    assert answer["score"] == max(answer["proba"].values())
    assert sum(answer["proba"].values()) == pytest.approx(1, abs=1e-4)


def test_pairs(enc, write, tiny_bert, tmp_path):
    rows = [f"a b {i}\tb a {i}\t{'same' if i % 2 else 'other'}" for i in range(20)]
    path = write("pairs.tsv", "q\ta\tlabel\n" + "\n".join(rows) + "\n")
    columns = ("--text-column", "q", "--pair-column", "a")
    store, head = tmp_path / "s", tmp_path / "h"
    enc("build-features", path, "--store", store, *columns, "--model", tiny_bert, "--max-length", 32)
    enc(
        "train-head",
        path,
        "--valid-fraction",
        0.5,
        "--store",
        store,
        *columns,
        "--output",
        head,
        "--epochs",
        2,
    )
    lines = enc("predict", "--head", head, "--pair", "a b 3", "b a 3").stdout.splitlines()
    assert lines[1].split()[0] in ("same", "other")
    assert lines[1].endswith("a b 3 | b a 3")
    assert lines[3] == "a b 3 | b a 3"
    assert lines[4].startswith("  tokens    [CLS] a b ")
    assert "trained on pairs" in enc("predict", "--head", head, "a b", code=2).stderr


def test_store_ls_and_show(enc, built):
    assert "tiny" in enc("store", "ls", built).stdout
    listed = json.loads(enc("store", "ls", built, "--json").stdout)
    assert [(s["name"], s["rows"], s["version"]) for s in listed] == [("tiny", 80, 1)]
    shown = enc("store", "show", built, "tiny").stdout
    assert "max_length" in shown
    assert "80 rows" in shown
    assert json.loads(enc("store", "show", built, "--json").stdout)["spec"]["max_length"] == 32


def test_export_onnx(enc, head, tiny_bert, tmp_path):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    assert (
        "differs from torch by"
        in enc("export-onnx", tiny_bert, tmp_path / "model.onnx", "--max-length", 16).stdout
    )
    summary = json.loads(enc("export-onnx", "--head", head, tmp_path / "head.onnx", "--json").stdout)
    assert summary["bytes"] == (tmp_path / "head.onnx").stat().st_size
    assert (summary["precision"], summary["target"], summary["fused"]) == ("fp32", "any", {})
    half = enc(
        "export-onnx", tiny_bert, tmp_path / "half.onnx", "--max-length", 16, "--precision", "fp16"
    ).stdout
    assert "fused for ONNX Runtime on cuda: 1 EmbedLayerNormalization, 2 Attention" in half
    assert "give a MODEL and the OUTPUT" in enc("export-onnx", tmp_path / "x.onnx", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("build-features", "{reviews}", "--store", "{store}", "--text-column", "x", "--name", "tiny"),
            "column 'x' is not in",
        ),
        (
            ("build-features", "{reviews}", "--store", "{store}", "--name", "tiny", "--max-length", "9"),
            "has another setting (max_length: 32, not 9)",
        ),
        (("build-features", "nowhere.tsv", "--store", "{store}"), "no file 'nowhere.tsv'"),
        (("build-features", "--store", "{store}"), "which rows? name files as SOURCE…, or give a query"),
        (
            ("build-features", "{reviews}", "--store", "{store}", "--model", "no/such-model"),
            "a local folder or 'minilm' will do",
        ),
        (
            ("train-head", "{reviews}", "--valid-fraction", ".1", "--store", "nowhere", "--output", "h"),
            "there is no store at 'nowhere'",
        ),
        (
            (
                "train-head",
                "{reviews}",
                "--valid-fraction",
                ".1",
                "--store",
                "{store}",
                "--features",
                "x",
                "--output",
                "h",
            ),
            "(it has: tiny)",
        ),
        (
            ("score", "{reviews}", "{parquet}", "--head", "{head}", "--store", "{store}"),
            "is there already; pass --overwrite to replace it",
        ),
        (
            ("score", "{parquet}", "{reviews}", "--head", "{head}", "--store", "{store}"),
            "scored rows are written as Parquet, not as .tsv; name it reviews.parquet",
        ),
        (
            ("score", "{parquet}", "out.parquet", "--head", "nowhere", "--store", "{store}"),
            "no head in 'nowhere'",
        ),
        (("evaluate", "{reviews}", "{head}"), "is a file, and a head is a folder"),
        (("score", "{parquet}", "--head", "{head}"), "which rows, and where to?"),
        (("features", "{reviews}", "--store", "{store}"), "which rows, and where to?"),
        (("export-onnx", "{head}", "out"), "is a head; pass it as --head"),
        (("report", "{reviews}"), "expected a file that `enc score` wrote"),
        (("fine-tune",), "where to? pass --output_dir"),
        (("predict", "--head", "{head}"), "give something to predict"),
        (("predict", "--head", "{head}", " "), "a text is empty"),
        (("store", "ls", "nowhere"), "there is no store at 'nowhere'"),
        (("store", "show", "{store}", "x"), "no feature set 'x'"),
    ],
)
def test_errors_are_one_line_and_exit_2(
    enc, arguments, message, reviews, built, head, parquet, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    places = dict(reviews=reviews, store=built, head=head, parquet=parquet)
    result = enc(*(a.format(**places) for a in arguments), code=2)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback(enc, tmp_path):
    result = enc("store", "ls", tmp_path / "no", "--debug", code=2)
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_long_texts_in_windows_and_a_recipe(enc, reviews, tiny_bert, tmp_path):
    common = ("build-features", reviews, "--store", tmp_path / "s", "--model", tiny_bert, "--json")
    windows = json.loads(enc(*common, "--max-length", 5, "--long-text", "windows", "--stride", 1).stdout)
    assert (windows["truncated"], windows["longest"] > 5) == (0, True)
    assert windows["feature_set"].endswith("mean-5-windows1")
    flat = json.loads(enc(*common, "--recipe", "flat32").stdout)
    assert flat["feature_set"].endswith("-flat32")
    assert (
        "windows" in enc("build-features", reviews, "--store", tmp_path / "s", "--stride", 3, code=2).stderr
    )


def test_calibrate_judges_int8(enc, reviews, tiny_bert, tmp_path, monkeypatch, fresh_memory):
    pytest.importorskip("nncf", reason="quantizing needs nncf")
    from enc.engine.backends import measure

    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    common = ("calibrate", tiny_bert, reviews, "--max-length", 32, "--precision", "int8")
    assert "pass --label-column" in enc(*common, code=2).stderr
    assert "pass --output" in enc(*common, "--label-column", "label", code=2).stderr
    result = enc(*common, "--label-column", "label", "--output", tmp_path / "small")
    assert "in full precision" in result.stdout
    assert f"use it with --model {tmp_path / 'small'}" in result.stdout
    built = enc(
        "build-features",
        reviews,
        "--store",
        tmp_path / "s",
        "--model",
        tmp_path / "small",
        "--precision",
        "int8",
    )
    assert "openvino int8 on cpu" in built.stdout
