"""Which dear modules each command loads: what is not loaded is not waited for."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

DEAR = (
    "torch", "torch._dynamo", "transformers", "sklearn", "scipy", "pandas", "openvino", "onnxruntime",
    "onnx", "tokenizers", "duckdb", "pyarrow", "numpy",
)  # fmt: skip
READS = {"duckdb", "numpy", "pyarrow"}
# pyarrow loads pandas wherever it is installed, with the first array that is made. Here it is not to be had.
SCRIPT = f"""
import sys
class NoPandas:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPandas())
from enc.cli.main import main
try: main()
finally: print(*({set(DEAR)!r} & {{*sys.modules}}), file=sys.stderr)
"""


@pytest.fixture
def loaded(tmp_path):
    """The dear modules that a command loads; one that succeeds with its answer as the last line of stderr."""

    def loaded(*words, code=0) -> set[str]:
        command = [sys.executable, "-c", SCRIPT, *map(str, words)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return set(done.stderr.splitlines()[-1].split())

    return loaded


@pytest.fixture
def head(enc, build, reviews, tmp_path):
    """A store of the reviews' features, and a linear head on them."""
    store = build()
    enc("train-head", reviews, "--valid-fraction", 0.3, *store, "--output", tmp_path / "head")
    return "--head", tmp_path / "head", *store


def test_commands_that_encode_nothing(loaded, head, enc, build, reviews, tiny_bert, tmp_path):
    store = head[2:]
    assert loaded("--help") == set()
    assert loaded("--version") <= {"numpy"}
    assert loaded("store", "ls", store[1]) == set()
    again = ("build-features", reviews, *store, "--model", tiny_bert, "--max-length", 16)
    assert loaded(*again) <= READS | {"tokenizers"}
    assert loaded("score", reviews, tmp_path / "out.parquet", *head) <= READS
    enc("train-head", reviews, "--valid-fraction", 0.3, *store, "--output", tmp_path / "mlp", "--head", "mlp")
    features = ("features", reviews, *store)
    assert loaded(*features, tmp_path / "out.npy") <= READS
    assert loaded(*features, tmp_path / "again.parquet", "--build") <= READS
    mlp = ("--head", tmp_path / "mlp", *store, "--overwrite")
    assert loaded("score", reviews, tmp_path / "out.parquet", *mlp) <= READS


def test_training_loads_torch_and_no_compiler(loaded, head, reviews, tmp_path):
    options = ("--no-baseline", "--valid-fraction", 0.3, "--output", tmp_path / "head")
    train = ("train-head", reviews, *head[2:], *options)
    assert loaded(*train) <= READS | {"torch"}
    assert loaded(*train, "--solver", "lbfgs") <= READS | {"torch", "scipy"}


@pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is not installed")
def test_predicting_with_a_graph_in_the_cache(loaded, head):
    predict = ("predict", *head[:2], "good", "--backend", "openvino")
    loaded(*predict)  # the first time, torch's network is converted
    assert loaded(*predict) <= READS | {"tokenizers", "openvino"}


def test_mistakes_of_scoring_are_told_before_anything_dear(loaded, head, reviews, tmp_path):
    out = tmp_path / "out.parquet"
    assert loaded("score", reviews, out, "--head", tmp_path / "none", code=2) <= READS
    assert loaded("score", tmp_path / "none.parquet", out, *head, code=2) <= READS
    assert loaded("score", reviews, out, *head, "--text-column", "txt", code=2) <= READS
    assert loaded("score", reviews, reviews, *head, code=2) <= READS
