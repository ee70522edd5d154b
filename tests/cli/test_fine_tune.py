"""`enc fine-tune`, and what takes its models."""

import json
import re

import duckdb
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder in MRPC's form, with a byte-order mark and a quote."""
    folder = tmp_path_factory.mktemp("MRPC")
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = [
        f'{i % 2}\t{i}\t{i}\t{"abc"[i % 3]} "quoted {i}\t{"abc"[i % 3] if i % 2 else "xyz"[i % 3]} text\n'
        for i in range(40)
    ]
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text(header + "".join(rows), encoding="utf-8")
    test = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n1\t3\t4\ta\ta\n"
    (folder / "test.tsv").write_text(test, encoding="utf-8")
    return folder


@pytest.fixture
def tuned(enc, pairs, tiny_bert, tmp_path):
    result = enc(
        "fine-tune", "--model_name_or_path", tiny_bert, "--task_name", "mrpc", "--data_dir", pairs,
        "--do_train", "--do_eval", "--do_predict", "--max_seq_length", 32, "--learning_rate", "2e-5",
        "--num_train_epochs", "1.0", "--output_dir",
        tmp_path / "tuned", "--overwrite_output_dir", "--use_cpu",
    )  # fmt: skip
    return tmp_path / "tuned", result


def test_the_command_of_run_glue_as_it_stands(tuned):
    folder, result = tuned
    lines = result.stdout.splitlines()
    assert lines[-1].startswith(f"model saved in '{folder}'")
    assert lines[-2] == f"predictions are in '{folder / 'predict_results_mrpc.txt'}'"
    blocks = result.stdout.partition("predictions are in")[0]
    assert [line for line in lines if line.startswith("*****")] == [
        "***** train metrics *****",
        "***** eval metrics *****",
    ]
    assert {line[0] for line in blocks.splitlines()} == {"*", " "}
    assert len(re.findall(r"^  eval_accuracy +=", blocks, re.MULTILINE)) == 1
    written = (folder / "eval_results.txt").read_text().splitlines()
    assert [line.split(" = ")[0] for line in written] == ["acc", "acc_and_f1", "eval_loss", "f1"]
    predictions = (folder / "predict_results_mrpc.txt").read_text().splitlines()
    assert predictions[0] == "index\tprediction"
    assert [line.split("\t")[0] for line in predictions[1:]] == ["0", "1"]
    assert {line.split("\t")[1] for line in predictions[1:]} <= {"equivalent", "not_equivalent"}


def test_what_is_logged_is_said_in_lines_and_a_quiet_run_tells_its_figures(enc, pairs, tiny_bert, tmp_path):
    asked = (
        "fine-tune", "--model", tiny_bert, "--task_name", "mrpc", "--data_dir", pairs, "--do_train",
        "--do_eval", "--max_seq_length", 32, "--max_steps", 2, "--logging_steps", 1, "--use_cpu",
        "--eval_strategy", "steps", "--output_dir", tmp_path / "tuned", "--no_report",
    )  # fmt: skip
    said = enc(*asked).stderr
    told = re.findall(
        r"^epoch \d+\.\d\d: (training|validation) loss \d\.\d{4}, (?:grad|acc)", said, re.MULTILINE
    )
    assert told == ["training", "validation"] * 2
    quiet = enc(*asked, "--overwrite_output_dir", "-q")
    figures, model = quiet.stdout.splitlines()
    assert set(figures.split()[::2]) == {"loss", "accuracy", "f1", "combined_score"}
    assert model.startswith("model saved in")
    assert quiet.stderr == ""


def test_its_model_is_scored_like_a_head(enc, tuned, tmp_path):
    folder, _ = tuned
    parquet = tmp_path / "in.parquet"
    rows = "(VALUES ('a', 'b'), ('c', NULL), ('x', 'x')) t(\"#1 String\", \"#2 String\")"
    duckdb.sql(f"COPY (FROM {rows}) TO '{parquet}' (FORMAT parquet)")
    result = enc(
        "score",
        parquet,
        tmp_path / "out.parquet",
        "--model",
        folder,
        "--proba",
        "--json",
        "--backend",
        "torch",
    )
    assert json.loads(result.stdout)["scored"] == 2
    scored = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["prediction"] is None for row in scored] == [False, True, False]
    enc(
        "score",
        parquet,
        tmp_path / "again.parquet",
        "--model",
        folder,
        "--store",
        tmp_path / "store",
        "--backend",
        "torch",
    )
    again = json.loads(
        enc(
            "score",
            parquet,
            tmp_path / "third.parquet",
            "--model",
            folder,
            "--store",
            tmp_path / "store",
            "--json",
        ).stdout
    )
    assert (again["cached"], again["encoded"]) == (2, 0)
    shown = enc("predict", "--model", folder, "--pair", "a", "b", "--json", "--backend", "torch")
    values = json.loads(shown.stdout)
    assert values["proba"]["equivalent"] == pytest.approx(scored[0]["proba_equivalent"], abs=1e-3)
    assert values["tokens"] == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert values["segment_ids"] == [0, 0, 0, 1, 1]
    text = enc("predict", "--model", folder, "--pair", "a", "b", "--backend", "torch").stdout.splitlines()
    assert text[0].split()[0] == "prediction"
    assert text[3:] == ["a | b", "  tokens    [CLS] a [SEP] b [SEP]", "  segments  0     0 0     1 1"]


def test_its_model_is_exported_as_one_graph(enc, tuned, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel here")
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    folder, _ = tuned
    enc("export-onnx", "--head", folder, tmp_path / "tuned.onnx")
    inputs = {
        "input_ids": [[2, 5, 3, 6, 3]],
        "attention_mask": [[1] * 5],
        "token_type_ids": [[0, 0, 0, 1, 1]],
    }
    session = onnxruntime.InferenceSession(tmp_path / "tuned.onnx", providers=["CPUExecutionProvider"])
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = torch.softmax(
            model(**{name: torch.tensor(value) for name, value in inputs.items()}).logits, -1
        )
    found = session.run(None, {name: torch.tensor(value).numpy() for name, value in inputs.items()})[0]
    assert found == pytest.approx(expected.numpy(), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [
                "--model",
                "minilm",
                "--output_dir",
                "x",
                "--do_eval",
                "--task",
                "mrpc",
                "--data_dir",
                "{data}",
                "--bogus",
            ],
            "error: there is no option --bogus",
        ),
        (["--model", "minilm", "--output_dir", "x", "--do_train"], "error: which data?"),
        (["--model", "minilm", "--output_dir", "x"], "error: nothing to do"),
        (
            [
                "--model",
                "no-such",
                "--output_dir",
                "x",
                "--do_eval",
                "--task",
                "mrpc",
                "--data_dir",
                "{data}",
            ],
            "error: model 'no-such'",
        ),
    ],
)
def test_mistakes_are_one_line(enc, pairs, arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = [word.format(data=pairs) for word in arguments]
    result = enc("fine-tune", *arguments, code=2)
    assert result.stderr.startswith(message), result.stderr


def test_all_options_are_listed(enc):
    text = enc("fine-tune", "--all-options").stdout
    assert "--freeze_layers" in text
    assert "--max_seq_length" in text


def test_bench_fine_tune(enc, pairs, tiny_bert, tmp_path):
    result = enc(
        "bench", "fine-tune", "--task_name", "mrpc", "--data_dir", pairs, "--model", tiny_bert,
        "--max_seq_length", 32, "--max_steps", 2, "--use_cpu", "--output", tmp_path / "bench", "--json",
    )  # fmt: skip
    assert "train_samples" not in result.stderr
    assert "'loss':" not in result.stderr
    found = {m["name"]: m for m in json.loads(result.stdout)["measurements"]}
    assert len(found) == 4
    for measurement in found.values():
        assert not measurement["problem"], measurement
        assert float(measurement["remarks"]["accuracy"]) > 0


def test_bench_fine_tune_with_heads_of_upper_layers(enc, pairs, tiny_bert, tmp_path):
    asked = ("--task_name", "mrpc", "--data_dir", pairs, "--model", tiny_bert, "--max_seq_length", 32)
    result = enc(
        "bench", "fine-tune", *asked, "--num_train_epochs", 1, "--only", "enc", "--layers", "1,2",
        "--seeds", 2, "--use_cpu", "--output", tmp_path / "bench", "--json",
    )  # fmt: skip
    found = {m["name"]: m for m in json.loads(result.stdout)["measurements"]}
    assert list(found) == ["enc fine-tune", "enc, head of the upper 2 layers", "enc, head of the last layer"]
    too_many = found.pop("enc, head of the upper 2 layers")
    assert "the model has 2 layers, and 2 of them leave none to store" in too_many["problem"]
    for measurement in found.values():
        remarks = measurement["remarks"]
        assert len(measurement["rates"]) == 2
        assert float(remarks["accuracy"]) > 0
        assert float(remarks["accuracy, deviation"]) >= 0
        assert "seconds an epoch" in remarks
    told = enc("bench", "fine-tune", *asked, "--layers", "0", "--output", tmp_path / "bench", code=2).stderr
    assert "cannot read --layers '0'" in told
