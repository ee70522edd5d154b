import json
import sys

import pytest
from enc.benchmarks.peers import PeerError, Peers, fastembed_folder

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
