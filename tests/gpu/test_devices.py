"""What runs on a GPU, and as far as that goes on the CPU by the same tests.

`pytest -m gpu` runs the GPU's part; without CUDA it is skipped.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from enc.cli.main import main
from enc.engine import TrainConfig, build_features, encode_texts, load_encoder, train_head
from enc.engine.encode.devices import cpu_has_bf16
from enc.engine.train.torch_dataset import FeatureDataset, to_device
from enc.store import Source, Store

TEXTS = [f"{'a room with a view ' * (1 + i % 9)}number {i}" for i in range(96)]
CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture
def device(request):
    """The device of a test; one that is not there skips it."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return request.param


def cosines(one, other):
    a, b = one.astype(np.float64), other.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module")
def reference():
    encoder = load_encoder("minilm", backend="torch", precision="fp32", device="cpu", max_length=64)
    return encode_texts(encoder, TEXTS)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("device", ["cpu", CUDA], indirect=True)
def test_torch_computes_the_reference_to_its_precision(device, precision, reference):
    if device == "cpu" and (precision == "fp16" or (precision == "bf16" and not cpu_has_bf16())):
        pytest.skip(f"the CPU has no {precision}")
    encoder = load_encoder("minilm", backend="torch", precision=precision, device=device, max_length=64)
    features = encode_texts(encoder, TEXTS)
    assert cosines(features, reference).min() > (0.9999 if precision == "fp32" else 0.999)
    assert device in encoder.explain() or device in encoder.title


@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_attention_without_padding_is_used_where_its_kernel_is_installed(device):
    from enc.engine.backends.unpadded import _installed_kernel

    if _installed_kernel() is None or torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("no kernel of attention without padding is installed, or the GPU is older than Ampere")
    encoder = load_encoder("minilm", backend="torch", precision="bf16", device=device, max_length=64)
    encode_texts(encoder, TEXTS)
    assert "unpadded" in encoder.title


@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_onnx_computes_the_reference_by_the_devices_provider(device, reference):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel here")
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider; pip install onnxruntime-gpu")
    encoder = load_encoder("minilm", backend="onnx", precision="fp32", device=device, max_length=64)
    assert cosines(encode_texts(encoder, TEXTS), reference).min() > 0.9999


@pytest.fixture
def stored(tmp_path):
    """Labelled rows, and their features."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": TEXTS, "label": [i % 9 > 4 for i in range(len(TEXTS))]}), path)
    encoder = load_encoder("minilm", backend="torch", precision="fp32", device="cpu", max_length=64)
    build_features(Source(path), tmp_path / "store", encoder)
    return path, Store(tmp_path / "store").open()


@pytest.mark.parametrize("device", ["cpu", CUDA], indirect=True)
def test_batches_come_to_the_device_as_they_are_stored(device, stored):
    path, table = stored
    data = FeatureDataset.of(Source(path), table, batch_size=16)
    rows = 0
    for features, targets in to_device(data, device):
        assert features.device.type == targets.device.type == device
        assert torch.isfinite(features).all()
        rows += len(targets)
    assert rows == len(TEXTS)


@pytest.mark.parametrize("device", ["cpu", CUDA], indirect=True)
def test_a_head_is_trained(device, stored):
    path, table = stored
    head = train_head(
        Source(path), table, valid=Source(path), config=TrainConfig(epochs=30, learning_rate=0.05)
    )
    assert head.metrics["accuracy"] > 0.9


@pytest.mark.parametrize("precision", ["--bf16", "--fp16"])
@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_a_model_is_fine_tuned(device, precision, stored, tmp_path):
    path, _ = stored
    words = [
        "fine-tune", "--train_file", path, "--validation_file", path, "--model", "minilm", precision,
        "--max_seq_length", 32, "--per_device_train_batch_size", 16, "--num_train_epochs", 1,
        "--output_dir", tmp_path / "tuned",
    ]  # fmt: skip
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_workers_take_a_gpu_each(device, tmp_path):
    from enc.engine.runners.job import BuildJob
    from enc.engine.runners.processes import build_in_processes, suitable_workers

    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "rows.parquet")
    encoder = load_encoder("minilm", backend="torch", max_length=64)
    job = BuildJob.of(Source(tmp_path / "rows.parquet"), tmp_path / "store", encoder, backend="torch")
    summary = build_in_processes(job, suitable_workers(None))
    assert summary.encoded == len(TEXTS)
    assert "cuda:0" in summary.encoder
    assert "cuda:1" in summary.encoder
