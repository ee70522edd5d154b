import json
import sys

import pytest
from click.testing import CliRunner
from enc.benchmarks.peer_worker import PEERS
from enc.benchmarks.peers import PeerError, Peers, fastembed_folder
from enc.benchmarks.results import Measurement, Results, in_turn, machine, write_report
from enc.cli.main import main


def test_contenders_are_measured_in_turn_and_failures_are_told():
    calls = []

    def contender(name, rates):
        def run():
            calls.append(name)
            return next(rates)

        return run

    def broken():
        raise RuntimeError("no such thing\nand more")

    steady, failing = Measurement("steady", "rows/s"), Measurement("failing", "rows/s")
    said = []
    in_turn([(steady, contender("steady", iter([1.0, 3.0, 2.0]))), (failing, broken)], 3, said.append)
    assert (steady.rates, steady.median) == ([1.0, 3.0, 2.0], 2.0)
    assert (failing.rates, failing.problem) == ([], "RuntimeError: no such thing")
    assert len(said) == 4


def test_report_puts_the_ratios_first(tmp_path):
    measurements = [
        Measurement("slow", "rows/s", [10.0, 12.0, 11.0]),
        Measurement("fast", "rows/s", [33.0, 33.0], {"cosine": "0.99"}),
        Measurement("absent", "rows/s", problem="not installed"),
    ]
    path = write_report(Results("things", "slow", {"rows": 5}, measurements, machine()), tmp_path / "out")
    lines = path.read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert table[2] == "| fast | 3.00x | 33 rows/s | 33 to 33 | 0.99 |"
    assert table[3].startswith("| slow | 1.00x | 11 rows/s | 10 to 12 |")
    assert "* absent: not installed" in lines
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [m["ratio"] for m in saved["measurements"]] == [1.0, 3.0, 0.0]
    assert saved["measurements"][0]["rates"] == [10.0, 12.0, 11.0]


@pytest.fixture
def texts(write):
    return write("t.tsv", "text\n" + "\n".join(f"a good room {i}" for i in range(40)))


def test_bench_encode(texts, tiny_bert, tmp_path):
    options = ["--model", str(tiny_bert), "--max-length", "16", "--texts", "30", "--repetitions", "1"]
    result = CliRunner().invoke(
        main, ["bench", "encode", str(texts), *options, "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# encode")
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    by_name = {m["name"]: m for m in saved["measurements"]}
    assert saved["settings"]["texts"] == 30
    for name in (
        "enc torch fp32",
        "sentence-transformers encode",
        "enc build-features, to the committed table",
    ):
        assert by_name[name]["median"] > 0, by_name[name]["problem"]
    assert float(by_name["enc torch fp32"]["remarks"]["cosine to fp32"]) > 0.9999
    for name in PEERS:  # present, or absent with the reason
        assert by_name[name]["rates"] or "is not installed; benchmarks/peers-" in by_name[name]["problem"]


_FAKE_WORKER = """#!{python}
import json, sys
import numpy as np
request = json.loads(sys.stdin.readline())
texts = json.load(open(request["texts"]))
if request["peer"] == "broken":
    print(json.dumps(dict(problem="no such peer")), flush=True)
    sys.exit()
print(json.dumps(dict(versions=dict(fake="1.0"))), flush=True)
for line in sys.stdin:
    if line.startswith("save"):
        np.save(line.split()[1], np.array([[len(text)] for text in texts], np.float32))
    print(json.dumps(dict(seconds=2.0)), flush=True)
    if request["peer"] == "mortal":
        sys.exit()
"""


def test_peers_of_other_environments(tiny_bert, write):
    fake = write("python", _FAKE_WORKER.replace("{python}", sys.executable))
    fake.chmod(0o755)
    with Peers(str(tiny_bert), ["a", "bc", "def"], 16, ["/nowhere/python", str(fake)]) as peers:
        rate = peers.start("peer")
        assert rate() == 1.5
        assert peers.features("peer").ravel().tolist() == [1, 2, 3]
        assert peers.remarks("peer") == {"with": "fake 1.0"}
        with pytest.raises(PeerError, match="cannot run /nowhere/python; no such peer; "):
            peers.start("broken")
        mortal = peers.start("mortal")
        mortal()
        with pytest.raises(PeerError, match="its process ended"):
            mortal()


def test_a_folder_for_fastembed(tiny_bert, tmp_path):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    folder = fastembed_folder(str(tiny_bert), tmp_path, 16)
    names = (
        "model.onnx",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    )
    assert all((folder / name).is_file() for name in names)
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 16
    assert json.loads((folder / "special_tokens_map.json").read_text())["pad_token"] == "[PAD]"


@pytest.mark.parametrize("options", [["--rows", "200"], ["--rows", "100", "--tokens"]])
def test_bench_batches(tmp_path, options):
    options += ["--repetitions", "1", "--batch-size", "16", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["bench", "batches", *options])
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    by_name = {m["name"]: m for m in saved["measurements"]}
    for name in (
        "enc ram",
        "enc mapped",
        "enc streamed",
        saved["baseline"],
        "torch DataLoader over a mapped npy file",
    ):
        assert by_name[name]["median"] > 0, by_name[name]["problem"]


def test_calibrate(texts, tiny_bert, fresh_memory):
    arguments = ["calibrate", str(tiny_bert), str(texts), "--max-length", "16"]
    table = CliRunner().invoke(main, arguments)
    assert table.exit_code == 0, table.output
    assert table.stdout.startswith("torch fp32")
    rows = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert rows[0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert all(row["texts_per_second"] > 0 for row in rows if not row["problem"])


def test_bench_heads(tmp_path):
    options = [
        "--rows",
        "300",
        "--token-rows",
        "100",
        "--repetitions",
        "1",
        "--batch-size",
        "64",
        "--output",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(main, ["bench", "heads", *options])
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all(m["median"] > 0 and not m["problem"] for m in saved["measurements"])
    losses = {
        m["name"]: float(m["remarks"]["training loss"])
        for m in saved["measurements"]
        if "training loss" in m["remarks"]
    }
    assert losses["enc lbfgs, to convergence"] == pytest.approx(
        losses["scikit-learn LogisticRegression, to convergence"], rel=0.05
    )


def test_bench_of_the_tutorials_job(tiny_bert, write, tmp_path):
    path = write("t.tsv", "sentence\tlabel\n" + "\n".join(f"good {i}\t{i % 2}" for i in range(40)) + "\n")
    options = [
        "--valid",
        str(path),
        "--model",
        str(tiny_bert),
        "--repetitions",
        "1",
        "--output",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(main, ["bench", "heads", str(path), *options])
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    ours = ["enc, from texts, on a machine new to the model", "enc, from texts", "enc, the next head"]
    assert [m["name"] for m in saved["measurements"]] == ["the tutorial's loop", *ours]
    assert all(m["median"] > 0 for m in saved["measurements"])
