import numpy as np
import pytest
import torch
from backend_texts import SETTINGS, TEXTS, cosines, encoded, require_torchs_features
from enc.engine import load_encoder
from enc.engine.backends.onnx_backend import _profiles
from enc.store import ModelError

pytest.importorskip("onnx", reason="onnx is an extra and not installed")


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("options", SETTINGS)
def test_float32_is_that_of_torch(tiny_bert, options, pairs):
    require_torchs_features("onnx", tiny_bert, options, pairs=pairs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so that asking for it is no error")
@pytest.mark.parametrize(
    ("backend", "provider"), [("onnx", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_a_provider_that_falls_back_is_an_error(tiny_bert, backend, provider, capfd):
    with pytest.raises(
        ModelError, match=rf"onnxruntime (fell back from|cannot start|has no) {provider}"
    ) as caught:
        load_encoder(str(tiny_bert), max_length=32, backend=backend, device="cuda")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_onnx_in_fp16(tiny_bert):
    expected = encoded(load_encoder(str(tiny_bert), max_length=32, backend="torch", dtype="float32"))
    encoder = load_encoder(
        str(tiny_bert), max_length=32, backend="onnx", precision="fp16", dtype="float32", device="cpu"
    )
    assert cosines(encoded(encoder), expected).min() > 0.9999


def test_a_batch_of_more_rows_than_the_profile_is_halved(tiny_bert):
    settings = dict(max_length=32, dtype="float32", device="cpu")
    encoder = load_encoder(str(tiny_bert), backend="onnx", **settings)
    whole = encoded(encoder)
    encoder._most_rows = 1
    np.testing.assert_allclose(encoded(encoder), whole, atol=1e-6)


def test_a_batch_too_large_for_onnx_is_halved(tiny_bert, monkeypatch):
    encoder = load_encoder(str(tiny_bert), backend="onnx", precision="fp32", max_length=16)
    batch = encoder.tokenize(TEXTS).batch(np.arange(8))
    expected = np.concatenate(list(encoder.encode([batch])))
    session, run = encoder.backend._session, encoder.backend._session.run

    def small(batch):
        if len(batch.input_ids) > 2:
            raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer of size 42")
        return run(batch)

    monkeypatch.setattr(session, "run", small)
    np.testing.assert_allclose(np.concatenate(list(encoder.encode([batch]))), expected, atol=1e-3)
    assert encoder.tokens_per_batch == 2 * batch.input_ids.shape[1]

    def never(batch):
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(session, "run", never)
    with pytest.raises(ModelError, match="does not fit the memory of cpu; lower --max-length"):
        list(encoder.encode([batch]))


def test_tensorrt_profiles():
    assert _profiles(["input_ids", "attention_mask"], 1024, 128, 16384) == {
        "trt_profile_min_shapes": "input_ids:1x1,attention_mask:1x1",
        "trt_profile_opt_shapes": "input_ids:256x64,attention_mask:256x64",
        "trt_profile_max_shapes": "input_ids:1024x128,attention_mask:1024x128",
    }
    assert _profiles(["x"], 1, 1, 1)["trt_profile_opt_shapes"] == "x:1x1"
